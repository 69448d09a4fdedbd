import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { CLIENT_TIMES } from '../../../src/http/connections/client-timeouts.ts'
import { useClientApp } from '../../support/client-app.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { until } from '../../support/until.ts'

const MESSAGE = JSON.stringify({ delay: '1h', payload: 'x'.repeat(80_000) })
const MESSAGES = '/v1/messages'
const STREAM = { 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' }
const { silenceMs, averageFromMs, everyMs, lingerMs } = CLIENT_TIMES

const world = useClientApp()

describe('a client that owes bytes', () => {
  // Only the looks of the server: sockets go on as they are.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())
  const pass = (ms: number) => vi.advanceTimersByTime(ms)

  it.each([
    [MESSAGES, '"status":408'],
    ['/echoAtTime', '"status":"error"'],
  ])('gets an error when it sends none of the body of %s for a minute', async (path, form) => {
    const client = await world().open()
    await client.send(rawPost(path, '{').toString().replace('length: 1', 'length: 200000'))
    await client.send('x'.repeat(150_000)) // enough for its average
    pass(everyMs) // sees what has come
    pass(silenceMs - everyMs)
    await client.send('x')
    pass(silenceMs)
    await new Promise(setImmediate)
    expect(client.received()).toBe('')
    pass(everyMs)
    const answer = await client.closed()
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(answer).toContain(form)
    expect(answer).toContain('the request took too long to arrive')
  })

  it('is cut off by its average rate when it drips', async () => {
    const client = await world().open()
    await client.send(rawPost(MESSAGES, '{').toString().replace('length: 1', 'length: 10000'))
    for (let ms = 0; ms < averageFromMs; ms += 5_000) {
      expect(client.received()).toBe('')
      await client.send(' ')
      pass(5_000)
    }
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('has all the time it takes when it sends more than a kibibyte a second', async () => {
    const client = await world().open()
    const bytes = rawPost(MESSAGES, MESSAGE)
    for (let at = 0; at < bytes.length; at += 1_200) {
      await client.send(bytes.subarray(at, at + 1_200))
      pass(1_000)
    }
    await until('it is answered', () => client.received().startsWith('HTTP/1.1 201 '))
  })

  it('may drip in a stream of lines, but not be silent', async () => {
    const client = await world().open()
    const head = rawPost(`${MESSAGES}/batch`, '', STREAM).toString().replace('content-length: 0\r\n', '')
    await client.send(head)
    const line = `${JSON.stringify({ delay: '1h', payload: 1 })}\n`
    for (let i = 1; i <= 5; i += 1) {
      await client.send(`${line.length.toString(16)}\r\n${line}\r\n`)
      await until('the line is answered', () => client.received().includes(`"line":${i},`))
      pass(silenceMs - everyMs)
    }
    pass(2 * everyMs)
    const answer = await client.closed()
    expect(answer).toContain(
      '{"line":6,"status":408,"code":"invalid","detail":"the request took too long to arrive"}',
    )
  })

  it('is cut off when nobody waits for the bytes', async () => {
    const client = await world().open()
    await client.send(rawPost('/v1/nothing', '{').toString().replace('length: 1', 'length: 10000'))
    await until('it is answered', () => client.received().startsWith('HTTP/1.1 404 '))
    pass(averageFromMs)
    await client.closed()
  })

  it('is not one whose request is complete, and that waits', async () => {
    const client = await world().open()
    await client.send(rawPost('/v1/queues/q/claim', '{"waitMs":20000}'))
    pass(10 * silenceMs)
    client.socket.end()
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('is cut off soon after the server has closed its side', async () => {
    const client = await world().open()
    await client.send('no HTTP at all\r\n\r\n')
    expect(await client.closed()).toMatch(/^HTTP\/1\.1 400 /)
    pass(lingerMs + everyMs)
    await until('the server has let go of it', () => client.accept.destroyed)
  })
})

it('a connection that says nothing, or half of its headers, is ended', async () => {
  const quick = await httpApp({}, { clientTimes: { ...CLIENT_TIMES, silenceMs: 100, everyMs: 20 } })
  onTestFinished(() => quick.close())
  const address = await quick.listen({ port: 0, host: '127.0.0.1' })
  const clients = [await connectRaw(address), await connectRaw(address)]
  clients[1]?.socket.write('GET / HTTP/1.1\r\nhost: loc')
  for (const client of clients) expect(await client.closed()).toMatch(/^HTTP\/1\.1 408 /)
})

it('connections beyond their number are refused, and taken again once there are fewer', async () => {
  const small = await httpApp({}, { maxConnections: () => 2 })
  onTestFinished(() => small.close())
  const address = await small.listen({ port: 0, host: '127.0.0.1' })
  const [first] = [await connectRaw(address), await connectRaw(address)]
  const third = await connectRaw(address)
  expect(await third.closed()).toBe('')
  first?.socket.destroy()
  await until('one is taken', async () => {
    const next = await connectRaw(address)
    next.socket.end('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n')
    return (await next.closed()).startsWith('HTTP/1.1 200 ')
  })
})
