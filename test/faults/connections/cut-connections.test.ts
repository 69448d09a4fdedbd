import { describe, expect, it, onTestFinished } from 'vitest'
import { type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.ts'
import { startFleet } from '../../support/fleet.ts'
import { startLoad, strangeAnswers } from '../../support/load.ts'
import { startCluster, startRedis, type TestRedis } from '../../support/redis.ts'
import { startSentinels } from '../../support/sentinels.ts'
import { until } from '../../support/until.ts'

interface Store {
  readonly url: string
  /** which hold messages */
  readonly nodes: readonly TestRedis[]
  /** through which servers subscribe */
  readonly proxies: readonly FaultyProxy[]
}

async function proxyFor(port: number): Promise<FaultyProxy> {
  const proxy = await startFaultyProxy(port)
  onTestFinished(() => proxy.stop())
  return proxy
}

async function startSingle(): Promise<Store> {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const proxy = await proxyFor(redis.port)
  return { url: `redis://127.0.0.1:${proxy.port}`, nodes: [redis], proxies: [proxy] }
}

async function startWithSentinels(): Promise<Store> {
  const proxies: FaultyProxy[] = []
  const sentinels = await startSentinels({
    // Sentinels find the master behind the proxy too, and must not take it for dead.
    downAfterMs: 60_000,
    async behind(port) {
      proxies.push(await proxyFor(port))
      return proxies[0]?.port ?? 0
    },
  })
  onTestFinished(() => sentinels.stop())
  return { url: sentinels.url, nodes: [sentinels.nodes[0]], proxies }
}

async function startNodes(): Promise<Store> {
  const cluster = await startCluster()
  onTestFinished(() => cluster.stop())
  const proxies = await Promise.all(cluster.masters.map(({ port }) => proxyFor(port)))
  const url = proxies.map(({ port }) => `redis://127.0.0.1:${port}`).join(',')
  return { url, nodes: cluster.masters, proxies }
}

const SUBSCRIPTION = /subscribe\r\n\$\d+\r\n[^\r]*:wake\r\n/i
const CUTS = 3
const KILLS = 40

describe('servers whose connections to Redis are cut again and again', () => {
  it.each<[string, () => Promise<Store>, Readonly<Record<string, string>>]>([
    ['of a single Redis', startSingle, {}],
    ['of several processes', startSingle, { PROCESSES: '2' }],
    ['of a master with sentinels', startWithSentinels, {}],
    ['of a cluster', startNodes, { SHARDS: '3' }],
  ])(
    '%s go on, and lose nothing',
    async (_kind, startStore, env) => {
      const { url, nodes, proxies } = await startStore()
      const fleet = await startFleet({ size: 2, redisUrl: url, env: { LOCK_TTL_MS: '2000', ...env } })
      const load = startLoad(() => fleet.servers, 500)
      await load.untilAccepted(50)

      // Between being ready and being subscribed.
      for (const proxy of proxies) proxy.cutOn(SUBSCRIPTION)
      const cuts = () => proxies.reduce((total, proxy) => total + proxy.cuts, 0)
      for (const proxy of proxies) proxy.cut()
      const before = cuts()
      await until('subscribing has failed for all', () => cuts() >= before + fleet.servers.length * CUTS)
      for (const proxy of proxies) proxy.cutOn(null)

      for (let i = 0; i < KILLS; i += 1) {
        for (const { client } of nodes) {
          for (const type of ['pubsub', 'normal'] as const)
            await client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
        }
      }
      await load.untilAccepted(50)
      await load.stop()

      expect(fleet.servers.map((server) => server.hasEnded())).toEqual([false, false])
      const unexpected = fleet.servers.flatMap(({ log }) => log.filter(({ level }) => level === 60))
      expect(unexpected).toEqual([])
      const ended = fleet.servers.flatMap(({ log }) =>
        log.filter(({ msg }) => /^server process/.test(String(msg))),
      )
      expect(ended).toEqual([])
      expect(strangeAnswers(load)).toEqual([])
      await fleet.untilDelivered(load.accepted().map(({ id }) => id))
      expect(fleet.delivered().filter(({ lateMs }) => lateMs < 0)).toEqual([])
    },
    60_000,
  )
})
