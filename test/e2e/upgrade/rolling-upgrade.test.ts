import { describe, expect, it, onTestFinished } from 'vitest'
import { everyKind, pullAll, sendAll } from '../../support/every-kind.ts'
import { startCluster, startRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { startTraffic } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'
import {
  expectOnce,
  setUpgradeScene,
  type UpgradeScene,
  untilAll,
  useOlderVersion,
} from '../../support/upgrade-scene.ts'

const HOUR_MS = 3_600_000

const folder = useOlderVersion()

async function setScene(
  startStore: () => Promise<{ url: string; stop(): Promise<void> }>,
): Promise<UpgradeScene> {
  const store = await startStore()
  onTestFinished(() => store.stop())
  return setUpgradeScene(store.url)
}

const untilBothAreKnown = (server: Service, count: number) =>
  until(`${count} servers are known`, async () => {
    const { body } = await server.call<{ servers: unknown[] }>('GET', '/v1/stats')
    return body.servers.length === count
  })

describe('While an older version and this one share a Redis', () => {
  it.each([
    ['this one', 'api', 'api,worker'],
    ['the older one', 'api,worker', 'api'],
  ])(
    'messages of every kind are delivered once, whichever scheduled them, by %s',
    async (_, older, newer) => {
      const scene = await setScene(startRedis)
      const { fleet, receiverUrl, pulled } = scene
      const servers = [
        await fleet.add({ folder: folder(), env: { ROLES: older } }),
        await fleet.add({ env: { ROLES: newer } }),
      ] as const
      const [old, current] = servers
      for (const server of servers) await untilBothAreKnown(server, 2)

      // Scheduled by one, asked for and changed by the other.
      const at = Date.now() + HOUR_MS
      const sent = ['old', 'current'].map((name) => everyKind(at, name, receiverUrl))
      const ids = await Promise.all(servers.map((server, i) => sendAll(server, sent[i] ?? [])))
      const all = ids.flat()
      // The older one shows the plain spelling of a host, 127.0.0.1, in the place of the one that was given.
      const seenBy = async (server: Service) => {
        const answers = await Promise.all(all.map((id) => server.call('GET', `/v1/messages/${id}`)))
        return answers.map(({ body }) => JSON.parse(JSON.stringify(body).replace('//127.1:', '//127.0.0.1:')))
      }
      expect(await seenBy(old)).toEqual(await seenBy(current))
      for (const [i, server] of [current, old].entries()) {
        for (const body of (sent[i] ?? []).filter(({ id }) => id !== undefined)) {
          expect((await server.call('POST', '/v1/messages', body)).status).toBe(200)
          expect((await server.call('POST', '/v1/messages', { ...body, payload: 1 })).status).toBe(409)
          const changed = await server.call('PATCH', `/v1/messages/${body.id}`, {
            tags: ['changed', 'twice'],
          })
          expect([changed.status, changed.body.version]).toEqual([200, 2])
        }
      }
      expect(await seenBy(old)).toEqual(await seenBy(current))
      expect(await fleet.findings()).toEqual([])

      // Leased by one, acknowledged by the other.
      const [ofOld = [], ofCurrent = []] = ids
      for (const [i, server] of [current, old].entries()) {
        await server.call('POST', '/v1/messages/shift', { ids: ids[i], byMs: -HOUR_MS })
      }
      await until('those of the queue have come', async () => {
        pulled.push(...(await pullAll(old, current)), ...(await pullAll(current, old)))
        return pulled.length >= 4
      })
      await untilAll(old, all, ['delivered'])
      await untilAll(current, all, ['delivered'])
      await expectOnce(scene, all)
      const came = await scene.arrivals()
      const contentsOf = (id: string) => came.flatMap((each) => (each.id === id ? [each.content] : []))
      expect(ofCurrent.map(contentsOf)).toEqual(ofOld.map(contentsOf))
    },
  )

  it.each([
    ['a Redis', startRedis],
    ['a cluster', startCluster],
  ])(
    '%s is upgraded server by server under load, and nothing is lost or comes twice',
    async (_, startStore) => {
      const scene = await setScene(startStore)
      const { fleet, received } = scene
      const older = [await fleet.add({ folder: folder() }), await fleet.add({ folder: folder() })] as const
      const traffic = startTraffic(() => fleet.servers, scene.receiverUrl)
      const accepted = async (more: number) => {
        const wanted = traffic.accepted.size + more
        await until(`${more} more are accepted`, () => traffic.accepted.size >= wanted)
      }
      await accepted(40)
      const newer = [await fleet.add()]
      await accepted(80)
      expect(await older[0].end('SIGTERM')).toBe(0)
      await accepted(40)
      newer.push(await fleet.add())
      await accepted(80)
      await older[1].end('SIGKILL')
      const claimed = await scene.claimed()
      await accepted(40)
      await traffic.stop()

      const server = newer[0] as Service
      const ids = (...places: string[]) =>
        [...traffic.accepted].flatMap(([id, { to }]) => (places.includes(to) ? [id] : []))
      await untilAll(server, [...traffic.accepted.keys()], ['delivered', 'dead'], traffic.pull)
      await untilAll(server, ids('console', 'webhook', 'stream', 'pull'), ['delivered'])
      await expectOnce(scene, ids('console', 'webhook', 'stream'), claimed)
      expect(received.length).toBeGreaterThan(0)
      expect(await fleet.findings()).toEqual([])
    },
  )
})
