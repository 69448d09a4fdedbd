import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { json } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { startPullWorker } from '../../support/pull-worker.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { machineMs, startProbe } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const QUEUE = 'mails'

interface Lease {
  readonly id: string
  readonly token: string
  readonly attempt: number
  readonly claim: number
  readonly lateMs: number
}

const claim = async (server: Service, order: Readonly<Record<string, unknown>> = {}) =>
  server.call<{ messages: Lease[] }>('POST', `/v1/queues/${QUEUE}/claim`, order)

const acknowledge = async (server: Service, messages: readonly Lease[]) =>
  server.call<{ acknowledged?: number; lost?: string[] }>('POST', `/v1/queues/${QUEUE}/acknowledge`, {
    messages: messages.map(({ id, token }) => ({ id, token })),
  })

const scheduleOne = async (server: Service, message: Readonly<Record<string, unknown>> = {}) => {
  const destination = { type: 'pull', queue: QUEUE }
  const { status, body } = await server.call('POST', '/v1/messages', { payload: 1, destination, ...message })
  expect(status).toBe(201)
  return body.id
}

/** @returns every command that a client sends to Redis from here on, as MONITOR tells it; those of scripts left out */
function watchCommands({ port }: TestRedis): string[] {
  const commands: string[] = []
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  onTestFinished(() => void socket.destroy())
  socket.write('MONITOR\r\n')
  let rest = ''
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\r\n')
    rest = lines.pop() ?? ''
    commands.push(...lines.filter((line) => /^\+[\d.]+ \[\d+ (?!lua\])/.test(line)))
  })
  return commands
}

/** Begins to wait for messages. @returns once the server has read the request: `answer` comes when it has one */
async function poll(server: Service) {
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const request = httpRequest(`${server.url}/v1/queues/${QUEUE}/claim`, {
    agent,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  const answer = once(request, 'response').then(async ([response]: IncomingMessage[]) => {
    const body = response === undefined ? {} : ((await json(response)) as { messages?: Lease[] })
    return { status: response?.statusCode, messages: body.messages, at: performance.now() }
  })
  answer.catch(() => undefined) // for who leaves
  request.end(JSON.stringify({ waitMs: 30_000 }))
  await once(request, 'finish')
  await untilRead(server)
  const from = request.socket?.localPort ?? 0
  return {
    answer,
    leave: () => void request.destroy(),
    hasEnded: () => !hasOpenSocket(server, from),
  }
}

const ESTABLISHED = '01'
const CLOSE_WAIT = '08'

/** Whether a server has not closed its end of the connection that comes from a port; on Linux. */
function hasOpenSocket({ url }: Service, from: number): boolean {
  const inHex = (port: number | string) => Number(port).toString(16).toUpperCase().padStart(4, '0')
  const [local, remote] = [inHex(new URL(url).port), inHex(from)]
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .some(
      ([, ours, theirs, state = '']) =>
        [ESTABLISHED, CLOSE_WAIT].includes(state) &&
        ours?.endsWith(`:${local}`) &&
        theirs?.endsWith(`:${remote}`),
    )
}

/** What lay at the server's door before has been read by it: it has been round its event loop since. */
const untilRead = async (server: Service) => void (await server.get('/live'))

const startApi = async (size: number, env: Readonly<Record<string, string>> = {}): Promise<Fleet> =>
  startFleet({ size, env: { ROLES: 'api', ...env } })

describe('workers that pull', () => {
  it('lose nothing when they are killed with kill -9: each message is acknowledged exactly once', async () => {
    const COUNT = 300
    const fleet = await startApi(2)
    const [one, two] = fleet.servers as [Service, Service]
    // A queue each, or one victim may be given what the other held.
    const queues = ['one', 'two']
    const ids = await Promise.all(
      queues.map((queue) =>
        fleet.schedule(COUNT / 2, Date.now(), { destination: { type: 'pull', queue }, prefix: queue }),
      ),
    )
    const ALL = Number.MAX_SAFE_INTEGER
    const victims = [
      startPullWorker({ url: one.url, queue: 'one', batches: 3 }),
      startPullWorker({ url: two.url, queue: 'two', batches: 5 }),
    ]
    await until('both hold something', () => victims.every((victim) => victim.holding().length > 0))
    for (const victim of victims) victim.kill()
    const survivors = queues.map((queue) => startPullWorker({ url: two.url, queue, batches: ALL }))
    const acknowledged = () => [...victims, ...survivors].flatMap((worker) => worker.acknowledged())
    await until('all are acknowledged', () => acknowledged().length >= COUNT)

    expect(acknowledged().sort()).toEqual(ids.flat().sort())
    const held = victims.flatMap((victim) => victim.holding())
    expect(held).toHaveLength(10)
    for (const id of held) {
      expect((await one.call('GET', `/v1/messages/${id}`)).body).toMatchObject({
        status: 'delivered',
        attempts: 0,
        recoveries: 1,
      })
    }
    const counted = await Promise.all(fleet.servers.map((server) => server.metrics()))
    const delivered = counted.map((of) => of.get('carillon_delivered_total{destination="pull"}') ?? 0)
    expect(delivered.reduce((sum, n) => sum + n)).toBe(COUNT)
    const { body } = await one.call<{ counts: object }>('GET', '/v1/stats')
    expect(body.counts).toEqual({ scheduled: 0, claimed: 0, dead: 0 })
  })

  it('are replaced after they die on a server without deliveries, and the late one learns that it lost', async () => {
    const fleet = await startApi(1)
    const [server] = fleet.servers as [Service]
    const id = await scheduleOne(server)
    const first = await claim(server, { lockMs: 1_000 })
    expect(first.body.messages).toMatchObject([{ id, attempt: 1, claim: 1 }])
    const second = await claim(server, { waitMs: 10_000 })
    expect(second.body.messages).toMatchObject([{ id, attempt: 2, claim: 2 }])
    expect(await acknowledge(server, first.body.messages)).toMatchObject({
      status: 409,
      body: { acknowledged: 0, lost: [id] },
    })
    expect(await acknowledge(server, second.body.messages)).toMatchObject({
      status: 200,
      body: { acknowledged: 1, lost: [] },
    })
    expect((await server.call('GET', `/v1/messages/${id}`)).body).toMatchObject({
      status: 'delivered',
      recoveries: 1,
    })
  })
})

describe('a long poll', () => {
  it('is answered as soon as another server accepts a message, or one becomes due', async () => {
    const fleet = await startApi(2)
    const [polled, other] = fleet.servers as [Service, Service]
    const probe = startProbe(
      () => polled.get('/health'),
      () => other.get('/health'),
    )
    // Whoever only looks each second would be in time for all of these once in a million.
    const delays = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 137, 263, 389, 137, 263, 389, 137, 263, 389, 137]
    for (const delay of delays) {
      const { answer } = await poll(polled)
      const id = await scheduleOne(other, { delay })
      const dueAt = performance.now() + delay
      const { messages = [], at } = await answer
      expect(messages).toMatchObject([{ id, attempt: 1 }])
      const mostMs = 500 + 2 * probe.slowestMs()
      expect(at - dueAt).toBeLessThan(mostMs)
      expect(messages[0]?.lateMs).toBeLessThan(mostMs)
      await acknowledge(polled, messages)
    }
  })

  it('costs Redis next to nothing while there is nothing to do, also beside many others', async () => {
    const QUEUES = 10
    const SECONDS = 5
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers as [Service]
    const commands = watchCommands(redis)
    const ending = new AbortController()
    const polls = Array.from({ length: 2 * QUEUES }, (_, i) =>
      server.call('POST', `/v1/queues/q${i % QUEUES}/claim`, { waitMs: 30_000 }, ending.signal),
    )
    const answered = Promise.allSettled(polls)
    await until('all of them have looked', () => {
      const lanes = Array.from({ length: QUEUES }, (_, i) => `"pull:q${i}"`)
      return lanes.every((lane) => commands.some((command) => command.includes(lane)))
    })
    await untilRead(server)
    commands.length = 0
    const from = performance.now()
    await until(`${SECONDS} s are over`, () => performance.now() > from + SECONDS * 1_000)
    expect(commands.length, commands.join('\n')).toBeLessThanOrEqual(3 * SECONDS)
    // It does look, for what it might not have been told of.
    expect(commands.filter((command) => command.includes('"pull:q0"')).length).toBeGreaterThanOrEqual(
      SECONDS - 1,
    )
    ending.abort()
    await answered
  })

  it('claims nothing after its client has gone', async () => {
    const fleet = await startApi(1)
    const [server] = fleet.servers as [Service]
    const polls = await Promise.all(Array.from({ length: 5 }, () => poll(server)))
    for (const { leave } of polls) leave()
    // One that has closed its side may still read: the server looks again for it before it closes its own.
    await until('the server has ended them', () => polls.every(({ hasEnded }) => hasEnded()))
    const id = await scheduleOne(server)
    const { body } = await claim(server, { waitMs: 5_000 })
    // The first claim there ever was.
    expect(body.messages).toMatchObject([{ id, attempt: 1, claim: 1 }])
  })

  it('is answered at once when its server stops, which then ends at once', async () => {
    const fleet = await startApi(1)
    const [server] = fleet.servers as [Service]
    const polls = await Promise.all(Array.from({ length: 5 }, () => poll(server)))
    const from = performance.now()
    const ended = server.end('SIGTERM')
    for (const { answer } of polls) expect(await answer).toMatchObject({ status: 200, messages: [] })
    // The polls would go on for 30 s, and the grace period for 10 s.
    expect(machineMs(from)).toBeLessThan(5_000)
    expect(await ended).toBe(0)
    expect(machineMs(from)).toBeLessThan(8_000)
  })
})
