import { expect, inject, it, onTestFinished } from 'vitest'
import { createShardMap } from '../../../src/shards/shard-map.ts'
import { createShardSync } from '../../../src/shards/shard-sync.ts'
import { dataIdKeyOf, shardCountsKeyOf } from '../../../src/store/keys.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { createRaiseShards, type RaiseShards } from '../../../src/store/scripts/shard-counts.ts'
import { clearNamespace } from '../../support/redis.ts'
import { useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

/** What one server knows, which was started with so many shards. */
function serverWith(shards: number, around = (raise: RaiseShards): RaiseShards => raise) {
  const { client, namespace } = world()
  const clock = createRedisClock()
  const shardMap = createShardMap(shards, clock.now)
  const raise = around(createRaiseShards(client, { namespace }))
  let losses = 0
  const watch = createShardSync({
    ...{ raise, shardMap, clock },
    onDataReplaced() {
      losses += 1
    },
  })
  onTestFinished(() => watch.stop())
  return { watch, shardMap, losses: () => losses }
}

const recorded = () => world().client.get(shardCountsKeyOf(world().namespace))

it('a server that runs follows another that raised the number, and is not refused for it', async () => {
  const old = serverWith(2)
  await old.watch.sync()
  await serverWith(5).watch.sync()
  expect(old.shardMap.all).toBe(2)
  await old.watch.sync()
  expect(old.shardMap).toMatchObject({ all: 5, writable: 2 })
  await old.watch.sync()
  expect((await recorded())?.startsWith('2,5@')).toBe(true)
})

it('a server that starts with fewer is refused, and changes nothing', async () => {
  await serverWith(5).watch.sync()
  const { watch, shardMap } = serverWith(4)
  await expect(watch.sync()).rejects.toThrow(/^SHARDS is 4, but .* 5 shards.*SHARDS=5$/)
  expect(shardMap.isRecorded).toBe(false)
  expect(await recorded()).toBe('5')
})

it('a Redis that has forgotten the number is told it again', async () => {
  const { watch, shardMap } = serverWith(2)
  await watch.sync()
  await serverWith(5).watch.sync()
  await watch.sync()
  await world().client.del(shardCountsKeyOf(world().namespace))
  await watch.sync()
  expect(await recorded()).toBe('5')
  expect(shardMap).toMatchObject({ all: 5, writable: 5 })
})

it('every server tells once that the data are gone, and none when it starts', async () => {
  const { client, namespace } = world()
  const servers = [serverWith(2), serverWith(2)]
  for (const { watch } of servers) await watch.sync()
  await clearNamespace(client, namespace)
  for (let i = 0; i < 2; i += 1) for (const { watch } of servers) await watch.sync()
  const newcomer = serverWith(2)
  await newcomer.watch.sync()
  expect([...servers, newcomer].map(({ losses }) => losses())).toEqual([1, 1, 0])
  expect(await recorded()).toBe('2')
})

it('data without an id, as of an older version, are the same data', async () => {
  const { client, namespace } = world()
  const { watch, losses } = serverWith(2)
  await client.set(shardCountsKeyOf(namespace), '2')
  await watch.sync()
  await client.del(dataIdKeyOf(namespace))
  await watch.sync()
  await watch.sync()
  expect(losses()).toBe(0)
})

it('a look that fails is made good by the next', async () => {
  let failures = 0
  const { watch, shardMap } = serverWith(1, (raise) => async (count) => {
    if (failures === 0 && shardMap.isRecorded) {
      failures += 1
      throw new Error('Redis is away')
    }
    return raise(count)
  })
  await watch.sync()
  await serverWith(3).watch.sync()
  watch.start()
  await until('it has heard of it', () => shardMap.all === 3)
  expect(failures).toBe(1)
})
