import { expect, inject, it } from 'vitest'
import { shardCountsKeyOf } from '../../../src/store/keys.ts'
import {
  createRaiseShards,
  createReadShardCounts,
  RAISE_DELAY_MS,
} from '../../../src/store/scripts/shard-counts.ts'
import { useScripts } from '../../support/script-world.ts'

const world = useScripts(() => inject('redisUrl'))

const raising = () => {
  const { client, namespace } = world()
  return createRaiseShards(client, { namespace })
}
const recorded = () => world().client.get(shardCountsKeyOf(world().namespace))

it('the first number of shards is used at once', async () => {
  const from = await world().now()
  const { now, counts } = await raising()(16)
  expect(now).toBeGreaterThanOrEqual(from)
  expect(counts).toEqual([{ count: 16, from: 0 }])
  expect(await recorded()).toBe('16')
})

it('a raised number is used later, by the clock of Redis', async () => {
  const raise = raising()
  await raise(1)
  await raise(16)
  const { now, counts } = await raise(32)
  expect(counts.map(({ count }) => count)).toEqual([1, 16, 32])
  expect(counts[2]?.from).toBe(now + RAISE_DELAY_MS)
  expect(counts[1]?.from).toBeLessThanOrEqual(now + RAISE_DELAY_MS)
  expect(counts[1]?.from).toBeGreaterThan(now)
  expect(await recorded()).toBe(`1,16@${counts[1]?.from},32@${counts[2]?.from}`)
})

it.each([1, 15, 16])('the number %i changes nothing where there are 16', async (count) => {
  const raise = raising()
  await raise(2)
  const { counts } = await raise(16)
  const before = await recorded()
  expect((await raise(count)).counts).toEqual(counts)
  expect(await recorded()).toBe(before)
})

it('numbers raised by many at once end at the largest', async () => {
  const raise = raising()
  await raise(1)
  const wanted = Array.from({ length: 30 }, (_, i) => 2 + ((i * 7) % 30))
  const heard = await Promise.all(wanted.map((count) => raise(count)))
  for (const [i, { counts }] of heard.entries()) {
    expect(counts.at(-1)?.count).toBeGreaterThanOrEqual(wanted[i] ?? 0)
    expect(counts.map(({ count }) => count)).toEqual(counts.map(({ count }) => count).sort((a, b) => a - b))
  }
  expect((await raise(1)).counts.at(-1)?.count).toBe(31)
})

it('numbers that were recorded without a time are those that were always used', async () => {
  const { client, namespace } = world()
  await client.set(shardCountsKeyOf(namespace), '1,16')
  expect((await raising()(16)).counts).toEqual([
    { count: 1, from: 0 },
    { count: 16, from: 0 },
  ])
  expect((await raising()(20)).counts[2]?.count).toBe(20)
})

it.each(['16,8', 'x,16', '0,16', '1,1025', '1,,16', '16@', '4,4'])(
  'recorded numbers %j are refused, with the key and its text, and are not used',
  async (text) => {
    const { client, namespace } = world()
    await client.set(shardCountsKeyOf(namespace), text)
    await expect(raising()(1)).rejects.toThrow(
      `the key ${shardCountsKeyOf(namespace)} holds no shard counts: "${text}"`,
    )
    expect(await createReadShardCounts(client, namespace)()).toBeUndefined()
  },
)
