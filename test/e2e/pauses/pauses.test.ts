import type { Cluster, Redis } from 'ioredis'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { type Fleet, repeated, sameAttemptTwice, startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import { readRedisClock } from '../../support/redis-time.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

interface Resumed {
  readonly waiting: number
  readonly until: string | null
}

async function redis(): Promise<Redis | Cluster> {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  return connection.client
}

const pause = async (server: Service | undefined, target: string, more: object = {}) => {
  const answer = await server?.call('POST', '/v1/pauses', { target, ...more })
  expect([200, 201]).toContain(answer?.status)
}

const resume = async (server: Service | undefined, target: string, body?: object) => {
  const path = `/v1/pauses?target=${encodeURIComponent(target)}`
  const answer = await server?.call<Resumed>('DELETE', path, body)
  expect(answer?.status).toBe(200)
  return answer?.body as Resumed
}

const schedule = async (server: Service | undefined, messages: readonly object[]) => {
  const answer = await server?.call<{ scheduled: number }>('POST', '/v1/messages/batch', { messages })
  expect(answer?.status).toBe(200)
}

/** Something that is not paused, due after all that went before, has come: so would they, if they could. */
async function untilOthersCome(fleet: Fleet, tries = 2): Promise<void> {
  for (let i = 0; i < tries; i += 1) {
    const markers = Array.from({ length: 4 * fleet.shards }, (_, n) => `marker-${i}-${n}-${Math.random()}`)
    await schedule(
      fleet.servers.find((server) => !server.hasEnded()),
      markers.map((id) => ({ id, payload: id })),
    )
    await fleet.untilDelivered(markers)
  }
}

const fromTheConsole = (fleet: Fleet) =>
  fleet.delivered().filter(({ messageId }) => messageId.startsWith('c'))

describe('a pause of several servers', () => {
  it('lets no delivery begin after its answer, of whatever kind, and loses none', async () => {
    const receiver = await openReceiver(answerWith(200))
    const fleet = await startFleet({ size: 3, env: { WEBHOOK_ALLOW: '127.0.0.1' } })
    const client = await redis()
    const [one, two, three] = fleet.servers
    const targets = [
      'destination:console',
      `destination:webhook:${receiver.url}`,
      'queue:q',
      'destination:stream',
    ]
    const pulled: { id: string; startedAt: number }[] = []
    let isOver = false
    const puller = async () => {
      while (!isOver) {
        const { body } = (await two?.call<{
          messages: { id: string; token: string; at: string; lateMs: number }[]
        }>('POST', '/v1/queues/q/claim', { limit: 100, waitMs: 100 })) ?? { body: { messages: [] } }
        for (const { id, at, lateMs } of body.messages)
          pulled.push({ id, startedAt: Date.parse(at) + lateMs })
        if (body.messages.length > 0)
          await two?.call('POST', '/v1/queues/q/acknowledge', {
            messages: body.messages.map(({ id, token }) => ({ id, token })),
          })
      }
    }
    const pulling = puller().catch(() => undefined) // its server ends with a test that fails
    let count = 0
    const accept = async () => {
      const n = count
      count += 1
      await schedule(three, [
        { id: `c${n}`, payload: n, destination: { type: 'console' } },
        { id: `w${n}`, payload: n, destination: { type: 'webhook', url: `${receiver.url}/` } },
        { id: `q${n}`, payload: n, destination: { type: 'pull', queue: 'q' } },
        { id: `s${n}`, payload: n, destination: { type: 'stream', name: 's' } },
      ])
    }
    const streamed = async () => {
      const entries = await Promise.all(
        Array.from({ length: fleet.shards }, (_, shard) =>
          client.xrange(`${keysOf(shard, fleet.namespace).streamPrefix}s`, '-', '+'),
        ),
      )
      return entries.flat().map(([, fields]) => {
        const of = (name: string) => fields[fields.indexOf(name) + 1] ?? ''
        return { id: of('id'), startedAt: Date.parse(of('at')) + Number(of('lateMs')) }
      })
    }
    const webhooks = () =>
      receiver.requests.map(({ headers, body }) => ({
        id: `w${body}`,
        startedAt:
          Date.parse(String(headers['carillon-scheduled-for'])) + Number(headers['carillon-late-ms']),
      }))
    const printed = () =>
      fromTheConsole(fleet).map(({ messageId, dueAt, lateMs }) => ({
        id: messageId,
        startedAt: dueAt + lateMs,
      }))
    const started = async () => [...printed(), ...webhooks(), ...pulled, ...(await streamed())]

    for (let i = 0; i < 20; i += 1) await accept()
    await until('each kind is being delivered', async () =>
      [printed(), webhooks(), pulled, await streamed()].every(({ length }) => length > 0),
    )
    for (const target of targets) await pause(one, target)
    // By the clock that decides: nothing was taken after this.
    const pausedAt = await readRedisClock(client)
    for (let i = 0; i < 50; i += 1) await accept()
    const listed = await two?.call<{ pauses: { target: string; waiting: number }[] }>('GET', '/v1/pauses')
    expect(listed?.body.pauses.map(({ target }) => target)).toEqual(targets)
    for (const { waiting } of listed?.body.pauses ?? []) expect(waiting).toBeGreaterThanOrEqual(50)
    expect((await started()).filter(({ startedAt }) => startedAt > pausedAt)).toEqual([])

    for (const target of targets) await resume(two, target)
    const wanted = ['c', 'w', 'q', 's'].flatMap((kind) => Array.from({ length: count }, (_, n) => kind + n))
    await until(
      'all have come',
      async () => new Set((await started()).map(({ id }) => id)).size === wanted.length,
    )
    isOver = true
    await pulling
    const all = (await started()).map(({ id }) => id)
    expect(all.toSorted()).toEqual(wanted.toSorted())
    const between = (await started()).filter(
      ({ id, startedAt }) => Number(id.slice(1)) >= 20 && startedAt <= pausedAt,
    )
    expect(between).toEqual([])
  })

  it('holds over a restart of all of them, and over more shards', async () => {
    const fleet = await startFleet({ size: 2, env: { SHARDS: '2' } })
    const client = await redis()
    await pause(fleet.servers[0], 'tag:held', { note: 'stays' })
    const ids = Array.from({ length: 200 }, (_, i) => `held-${i}`)
    await schedule(
      fleet.servers[1],
      ids.map((id) => ({ id, payload: id, tags: ['held'] })),
    )
    await untilOthersCome(fleet)
    await Promise.all(fleet.servers.map((server) => server.end()))
    const next = await fleet.add({ env: { SHARDS: '5' } })
    await untilOthersCome(fleet)
    await until('every shard knows of it', async () => {
      const known = await Promise.all(
        Array.from({ length: 5 }, (_, shard) =>
          client.hexists(keysOf(shard, fleet.namespace).pauses, 'tag:held'),
        ),
      )
      return known.every((each) => each === 1)
    })
    const { body } = await next.call<{ pauses: object[] }>('GET', '/v1/pauses')
    expect(body.pauses).toMatchObject([{ target: 'tag:held', note: 'stays', waiting: 200 }])
    expect(fleet.delivered().filter(({ messageId }) => ids.includes(messageId))).toEqual([])
    await resume(next, 'tag:held')
    await fleet.untilDelivered(ids)
    expect(repeated(fleet.delivered())).toEqual({})
  })

  it('ends by itself on all of them', async () => {
    const fleet = await startFleet({ size: 2 })
    const client = await redis()
    const ends = (await readRedisClock(client)) + 1_500
    await pause(fleet.servers[0], 'destination:console', { until: ends })
    const ids = Array.from({ length: 100 }, (_, i) => `c${i}`)
    await schedule(
      fleet.servers[1],
      ids.map((id) => ({ id, payload: id })),
    )
    await fleet.untilDelivered(ids)
    expect(fleet.delivered().filter(({ dueAt, lateMs }) => dueAt + lateMs < ends)).toEqual([])
    const listed = await fleet.servers[0]?.call<{ pauses: object[] }>('GET', '/v1/pauses')
    expect(listed?.body.pauses).toEqual([])
  })
})

describe('a pause that is resumed by several servers', () => {
  it('goes on when the server that began is killed, and has all fall due evenly', async () => {
    const fleet = await startFleet({ size: 2, env: { SHARDS: '3' } })
    const [one, two] = fleet.servers
    await pause(one, 'tag:slow')
    const ids = Array.from({ length: 3_000 }, (_, i) => `c${i}`)
    for (let i = 0; i < ids.length; i += 1_000)
      await schedule(
        one,
        ids.slice(i, i + 1_000).map((id) => ({ id, payload: id, tags: ['slow'] })),
      )
    await untilOthersCome(fleet)
    const resumed = await resume(one, 'tag:slow', { spread: '4s' })
    const killed = one?.end('SIGKILL')
    expect(resumed.waiting).toBe(ids.length)
    const last = Date.parse(resumed.until ?? '')
    await killed
    await fleet.untilDelivered(ids)
    expect(sameAttemptTwice(fleet.delivered())).toEqual([])
    const own = new Set(ids)
    // A message that the killed server had was claimed again when its lock had ended.
    const first = fleet.delivered().filter(({ messageId, attempt }) => own.has(messageId) && attempt === 1)
    const due = first.map(({ dueAt, lateMs }) => dueAt + lateMs)
    expect(Math.min(...due)).toBeGreaterThan(last - 4_000)
    await until('it is over', async () => {
      const { body } = (await two?.call<{ pauses: object[] }>('GET', '/v1/pauses')) ?? {
        body: { pauses: [1] },
      }
      return body.pauses.length === 0
    })
  })
})
