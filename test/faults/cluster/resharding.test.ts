import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keysOf, type ShardKeys } from '../../../src/store/keys.ts'
import { early, repeated, startFleet } from '../../support/fleet.ts'
import { startLoad, strangeAnswers } from '../../support/load.ts'
import { startCluster, type TestCluster, type TestRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

let cluster: TestCluster
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.stop())

const SHARDS = 4

const idOf = async (node: TestRedis) => String(await node.client.call('CLUSTER', 'MYID'))

/** Keys that scripts do not declare. Moved first, they are missing where all declared ones still are. */
const isUndeclared = (key: string) => /:(lock|tag|seen):/.test(key)

/**
 * Makes all keys exist that scripts declare, for as long as a test may last: one that is missing would keep them from
 * running while its slot is moved, as the guard does, but by chance.
 */
async function fillDeclared(node: TestRedis, keys: ShardKeys): Promise<void> {
  const later = Date.now() + 3_600_000
  const { scheduled, claimed, dead, laned, hosts, queues, delivered, dropped } = keys
  for (const set of [scheduled, claimed, dead, laned, hosts, queues, delivered, dropped]) {
    await node.client.zadd(set, later, 'seed')
  }
  for (const hash of [keys.messages, keys.attempts, keys.failures, keys.history]) {
    await node.client.hset(hash, 'seed', '')
  }
  await node.client.sadd(keys.streams, 'seed')
}

/** Moves the slot of a key as redis-cli --cluster reshard does, a few keys at a time. @returns how many keys went */
async function moveSlotOf(key: string, from: TestRedis, to: TestRedis, pauseMs: number): Promise<number> {
  const slot = Number(await from.client.call('CLUSTER', 'KEYSLOT', key))
  const [source, target] = [await idOf(from), await idOf(to)]
  await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source)
  await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target)
  let moved = 0
  for (;;) {
    const all = (await from.client.call('CLUSTER', 'GETKEYSINSLOT', slot, 10_000)) as string[]
    if (all.length === 0) break
    const undeclared = all.filter(isUndeclared)
    const keys = (undeclared.length > 0 ? undeclared : all).slice(0, 3)
    await from.client.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys)
    moved += keys.length
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  for (const node of [to, from]) await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target)
  for (const node of cluster.masters) {
    if (node !== from && node !== to) await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target)
  }
  return moved
}

describe('shards that are moved between masters under load', () => {
  it('lose nothing, deliver nothing early or twice, and keep nobody from scheduling', async () => {
    const fleet = await startFleet({
      ...{ size: 2, redisUrl: cluster.url, env: { SHARDS: String(SHARDS) } },
      audited: false,
    })
    const shards = Array.from({ length: SHARDS }, (_, shard) => keysOf(shard, fleet.namespace))
    for (const keys of shards) await fillDeclared(await cluster.masterOf(keys.messages), keys)
    const load = startLoad(() => fleet.servers)
    await load.untilAccepted(200)
    for (const round of [0, 1]) {
      for (const [shard, { messages }] of shards.entries()) {
        const from = await cluster.masterOf(messages)
        const others = cluster.masters.filter((node) => node !== from)
        const to = others[(shard + round) % others.length] ?? from
        expect(await moveSlotOf(messages, from, to, 20)).toBeGreaterThan(15)
        await load.untilAccepted(40)
      }
    }
    await load.stop()
    const accepted = load.accepted()
    await fleet.untilDelivered(
      accepted.map(({ id }) => id),
      30_000,
    )
    expect(strangeAnswers(load)).toEqual([])
    // What has no id of the client's goes to another shard.
    expect(load.answers.filter(({ isOwnId, status }) => status !== 201 && !isOwnId)).toEqual([])
    const lines = fleet.delivered()
    expect(repeated(lines)).toEqual({})
    expect(lines.filter(({ attempt }) => attempt !== 1)).toEqual([])
    expect(early(lines)).toEqual([])
    for (const { messages } of shards) {
      const node = await cluster.masterOf(messages)
      await until('nothing is left', async () => (await node.client.hkeys(messages)).join() === 'seed')
    }
    const notOurs = (await fleet.findings()).filter(({ name }) => name !== 'seed')
    expect(notOurs).toEqual([])
  })
})
