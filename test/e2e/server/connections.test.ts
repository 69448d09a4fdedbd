import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { freshNamespace } from '../../support/namespace.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { startService } from '../../support/service.ts'
import { until } from '../../support/until.ts'

/** More than clients may have connections where this is the limit of descriptors, and fewer than there are modules. */
const DESCRIPTORS = 64
const SILENT = 80

it.each([1, 2])(
  'a service of %i processes lives through more silent connections than it has descriptors',
  async (processes) => {
    const service = await startService({
      env: { NAMESPACE: freshNamespace(), PROCESSES: String(processes) },
      descriptors: DESCRIPTORS,
    })
    onTestFinished(() => void service.end('SIGKILL'))
    if (processes > 1) {
      await until('all servers run', async () => {
        const { body } = await service.call<{ servers: unknown[] }>('GET', '/v1/stats')
        return body.servers.length === processes
      })
    }
    const { hostname, port } = new URL(service.url)
    const silent: { socket: Socket; state: 'new' | 'open' | 'closed' }[] = []
    onTestFinished(() => {
      for (const { socket } of silent) socket.destroy()
    })
    for (let i = 0; i < SILENT * processes; i += 1) {
      const each = { socket: connect(Number(port), hostname), state: 'new' as 'new' | 'open' | 'closed' }
      each.socket.on('error', () => undefined)
      each.socket.once('connect', () => {
        each.state = 'open'
      })
      each.socket.once('close', () => {
        each.state = 'closed'
      })
      each.socket.resume()
      silent.push(each)
    }
    await until(
      'what is too many was refused',
      () => silent.filter(({ state }) => state === 'closed').length >= SILENT - DESCRIPTORS,
    )
    // Where a server had a connection just before, it has not asked again how many it may have.
    if (processes === 1)
      await until('it is told', () => service.log.some(({ msg }) => /connections are open/.test(String(msg))))
    for (const { socket } of silent) socket.destroy()
    await until('it answers again', async () => {
      try {
        return (await service.get('/health')).status === 200
      } catch {
        return false // still refused
      }
    })
    expect((await service.post(Date.now() + 3_600_000, 'still here')).status).toBe(200)
    expect(service.hasEnded()).toBe(false)
    expect(service.stderr()).toBe('')
    expect(await service.end()).toBe(0)
  },
)

/** Bytes of memory that a process has for itself now. */
const residentOf = (pid: number) =>
  1_024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

it('a server holds only so much of the bodies that are under way, and takes others once they are gone', async () => {
  const HALF = 8_000_000
  const COUNT = 40
  const service = await startService({
    env: { NAMESPACE: freshNamespace(), NODE_OPTIONS: '--max-old-space-size=256' },
  })
  onTestFinished(() => void service.end('SIGKILL'))
  await service.post(Date.now() + 3_600_000, 'first')
  const before = residentOf(service.pid)
  const half = Buffer.alloc(HALF, ' ')
  const head = rawPost('/v1/messages/batch', '', { 'content-length': String(2 * HALF) })
  const clients = await Promise.all(
    Array.from({ length: COUNT }, async () => {
      const client = await connectRaw(service.url)
      let isSent = false
      client.socket.write(head)
      client.socket.write(half, () => {
        isSent = true
      })
      return { ...client, isReleased: () => isSent || client.received() !== '' || client.socket.destroyed }
    }),
  )
  await until('each has sent its half, or was refused', () => clients.every((client) => client.isReleased()))
  const refused = () => clients.filter((client) => client.received().startsWith('HTTP/1.1 503 ')).length
  await until('most were refused', () => refused() > COUNT / 2)
  expect(residentOf(service.pid) - before).toBeLessThan((COUNT * HALF) / 2)
  expect(refused()).toBeLessThan(COUNT)

  for (const { socket } of clients) socket.destroy()
  const messages = Array.from({ length: 10 }, () => ({ delay: '1h', payload: 'x'.repeat(1_000_000) }))
  await until('another is taken', async () => {
    const { status } = await service.call('POST', '/v1/messages/batch', { messages })
    return status === 200
  })
  expect(await service.end()).toBe(0)
})

it('a server with a small heap sheds what is too much at a time, and answers all the rest', async () => {
  const CONNECTIONS = 20
  const EACH = 300
  const service = await startService({
    env: { NAMESPACE: freshNamespace(), NODE_OPTIONS: '--max-old-space-size=64' },
  })
  onTestFinished(() => void service.end('SIGKILL'))
  const post = rawPost('/v1/messages', JSON.stringify({ delay: '1h', payload: 'x'.repeat(100) }))
  const flood = Buffer.concat(Array<Buffer>(EACH).fill(post))
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => connectRaw(service.url)))
  for (const { socket } of clients) socket.write(flood)
  const statuses = () => clients.flatMap(({ received }) => received().match(/HTTP\/1\.1 \d+/g) ?? [])
  await until('all are answered', () => statuses().length === CONNECTIONS * EACH)
  const count = (status: number) => statuses().filter((each) => each === `HTTP/1.1 ${status}`).length
  expect(count(201) + count(503)).toBe(CONNECTIONS * EACH)
  expect(count(201)).toBeGreaterThan(100)
  expect(count(503)).toBeGreaterThan(0)
  const { status } = await service.post(Date.now() + 3_600_000, 'one at a time')
  expect(status).toBe(200)
  expect(await service.end()).toBe(0)
})
