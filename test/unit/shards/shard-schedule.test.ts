import { expect, it } from 'vitest'
import { ShardSchedule } from '../../../src/shards/shard-schedule.ts'

/** Takes all that are due, in order. */
function takeAll(schedule: ShardSchedule): number[] {
  const taken: number[] = []
  for (let shard = schedule.takeNext(); shard !== undefined; shard = schedule.takeNext()) taken.push(shard)
  return taken
}

it('takes the shard that has been due longest, each once', () => {
  const schedule = new ShardSchedule(3)
  expect(takeAll(schedule)).toEqual([0, 1, 2])
  expect(schedule.nextInMs).toBe(Number.POSITIVE_INFINITY)
  schedule.soon(2, -20)
  schedule.soon(0, -10)
  schedule.soon(1, 60_000)
  expect(schedule.nextInMs).toBeLessThan(0)
  expect(takeAll(schedule)).toEqual([2, 0])
  expect(schedule.nextInMs).toBeGreaterThan(50_000)
})

it('keeps the earliest time a shard was given, and ignores a shard that is not there', () => {
  const schedule = new ShardSchedule(2, () => Number.POSITIVE_INFINITY)
  schedule.soon(0, 5_000)
  schedule.soon(0, 90_000)
  schedule.soon(7, -1)
  expect(schedule.nextInMs).toBeLessThanOrEqual(5_000)
  expect(schedule.nextInMs).toBeGreaterThan(0)
  expect([takeAll(schedule), schedule.shards]).toEqual([[], 2])
})

it('has shards that are added due at once, and all of them when they are to be', () => {
  const schedule = new ShardSchedule(1, () => Number.POSITIVE_INFINITY)
  schedule.grow(3)
  expect(takeAll(schedule)).toEqual([1, 2])
  schedule.allDue()
  expect(takeAll(schedule)).toEqual([0, 1, 2])
})
