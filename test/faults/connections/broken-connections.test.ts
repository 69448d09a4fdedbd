import { describe, expect, it, onTestFinished } from 'vitest'
import { type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.ts'
import { type Fleet, sameAttemptTwice, startFleet } from '../../support/fleet.ts'
import { startCluster, startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

/** So many messages are to be accepted meanwhile; more for a longer run by hand. */
const WANTED = Number(process.env.CARILLON_TEST_BROKEN_CONNECTIONS ?? 400)
const WITHIN_MS = 25_000 + WANTED * 10
const SERVERS = 3
const CLIENTS = 40
/** Of how many messages a batch is, and of how many clients one sends batches: more where more are wanted. */
const [BATCH, BATCHES_ONE_IN] = WANTED < 10_000 ? [10, 8] : [100, 2]
/**
 * A connection carries at most so many bytes each way: some calls, of which the first bring all scripts, then it is
 * cut.
 */
const MOST_BYTES = 200_000
/** So many connections are to have been cut, at least. */
const CUTS = 10

interface Sent {
  readonly payload: string
  readonly status: number
  readonly ids: readonly string[]
}

/**
 * Clients that each send one message after the other and none twice: alone, in batches, with ids of their own and
 * without.
 */
function startClients(fleet: Fleet) {
  const sent: Sent[] = []
  let accepted = 0
  let stopped = false
  let count = 0

  const note = (payload: string, status: number, id: string | undefined) => {
    const isAccepted = status === 200 || status === 201
    if (isAccepted) accepted += 1
    sent.push({ payload, status, ids: id === undefined ? [] : [id] })
  }
  const message = () => {
    count += 1
    const payload = `sent ${count}`
    const due = count % 3 === 0 ? { delay: 0 } : { delay: Math.floor(Math.random() * 500) }
    return { ...due, payload, ...(count % 4 === 0 ? { id: `own-${count}` } : {}) }
  }
  const client = async (nth: number) => {
    while (!stopped) {
      const server = fleet.servers[nth % fleet.servers.length]
      if (server === undefined) return
      if (nth % BATCHES_ONE_IN !== 0) {
        const each = message()
        const { status, body } = await server.call('POST', '/v1/messages', each)
        note(each.payload, status, body.id)
        continue
      }
      const messages = Array.from({ length: BATCH }, message)
      const { body } = await server.call<{ results?: { id?: string; status: number }[] }>(
        ...(['POST', '/v1/messages/batch', { messages }] as const),
      )
      for (const [i, { payload }] of messages.entries()) {
        const result = body.results?.[i]
        note(payload, result?.status ?? 503, result?.id)
      }
    }
  }
  const all = Array.from({ length: CLIENTS }, (_, nth) => client(nth))
  const stop = async () => {
    stopped = true
    await Promise.all(all)
  }
  onTestFinished(stop)
  return { sent, accepted: () => accepted, stop }
}

/** Has messages sent while `trouble` goes on, and looks at what became of each when it is over. */
async function sendUnder(redisUrl: string, proxies: readonly FaultyProxy[], trouble: () => Promise<void>) {
  // Claims whose answers are cut expire, however often: that is no reason here to give a message up.
  const env = { SHARDS: '3', LOCK_TTL_MS: '2000', CLAIM_BATCH: '50', MAX_RECOVERIES: '1000' }
  const fleet = await startFleet({ size: SERVERS, redisUrl, env })
  const clients = startClients(fleet)
  await until('some are accepted', () => clients.accepted() > 0)
  for (const proxy of proxies) proxy.cutAtRandom(MOST_BYTES)
  await until('half are accepted', () => clients.accepted() >= WANTED / 2, WITHIN_MS)
  await trouble()
  const cuts = () => proxies.reduce((sum, proxy) => sum + proxy.cuts, 0)
  await until('all are accepted', () => clients.accepted() >= WANTED && cuts() >= CUTS, WITHIN_MS)
  for (const proxy of proxies) proxy.cutAtRandom(null)
  await clients.stop()
  const { sent } = clients
  expect(sent.filter(({ status }) => ![200, 201, 503].includes(status))).toEqual([])
  const accepted = sent.filter(({ status }) => status !== 503)
  await fleet.untilDelivered(
    accepted.flatMap(({ ids }) => ids),
    WITHIN_MS,
  )
  const lines = fleet.delivered()
  const idsOf = new Map<string, Set<string>>()
  for (const { msg, messageId, lateMs } of lines) {
    expect(lateMs).toBeGreaterThanOrEqual(0)
    idsOf.set(msg, (idsOf.get(msg) ?? new Set()).add(messageId))
  }
  // Stored once: of what was sent once, nothing came under two ids, be it accepted or not; and under that it was told.
  expect([...idsOf].filter(([, ids]) => ids.size > 1)).toEqual([])
  const others = sent.filter(({ payload, ids: [id] }) => {
    const came = idsOf.get(payload)
    return id !== undefined && came !== undefined && !came.has(id)
  })
  expect(others).toEqual([])
  // Delivered twice only where a delivery's end was not heard of in time, which counts as another attempt.
  expect(sameAttemptTwice(lines)).toEqual([])
}

describe('while connections to Redis break at any byte', () => {
  it(
    'every accepted message is stored once and comes, on one Redis',
    async () => {
      const redis = await startRedis()
      onTestFinished(() => redis.stop())
      const proxy = await startFaultyProxy(redis.port)
      onTestFinished(() => proxy.stop())
      await sendUnder(`redis://127.0.0.1:${proxy.port}`, [proxy], async () => {
        await redis.kill()
        await redis.start()
      })
    },
    3 * WITHIN_MS,
  )

  it(
    'every accepted message is stored once and comes, on a cluster of which a master dies and comes back',
    async () => {
      const proxies: FaultyProxy[] = []
      const cluster = await startCluster({
        args: ['--cluster-require-full-coverage', 'no'],
        async announce(port) {
          const proxy = await startFaultyProxy(port)
          onTestFinished(() => proxy.stop())
          proxies.push(proxy)
          return proxy.port
        },
      })
      onTestFinished(() => cluster.stop())
      await sendUnder(cluster.url, proxies, async () => {
        const [victim] = cluster.masters
        await victim?.kill()
        await victim?.start()
      })
    },
    3 * WITHIN_MS,
  )
})
