import { describe, expect, it } from 'vitest'
import { claim, put } from '../support/acts.ts'
import { oneOfEach } from '../support/retained.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, pull, webhook } from '../support/values.ts'

/** How much falls due when, and how much there is. */
export function describeForecastAndCount(kind: string, redisUrl: () => string, shard: number): void {
  describe(`forecast and count on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('forecast', () => {
      it('counts what is scheduled, each span with its beginning and without its end', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [99, 100, 109, 110, 129, 130].map((at, i) => entry(`~${i}`, { due: { at } })),
        )
        const args = { from: 100, to: 130, bucketMs: 10 }
        expect(await w.scripts.forecast(w.shard, args)).toEqual([2, 1, 1])
        expect(await w.scripts.forecast(w.shard, { ...args, to: 129 })).toEqual([2, 1, 0])
        const many = await w.scripts.forecast(w.shard, { from: 0, to: 1_000, bucketMs: 1 })
        expect(many).toHaveLength(1_000)
        expect(many.reduce((sum, count) => sum + count, 0)).toBe(6)
        await claim(w, { limit: 2 })
        expect(await w.scripts.forecast(w.shard, args)).toEqual([1, 1, 1])
      })
    })

    describe('load', () => {
      it('counts what is due, and what falls due in each of the next seconds and in five minutes', async () => {
        const w = world()
        expect(await w.scripts.load(w.shard)).toEqual({
          ...{ now: expect.any(Number), overdue: 0, oldestMs: 0, soon: 0, perSecond: [] },
        })
        const from = await w.now()
        const at = (ms: number) => ({ due: { at: from + ms } })
        await put(w, 'a', { ...at(-5_000), options: { destination: pull('q') } })
        await put(w, 'b', at(-1_000))
        await put(w, 'c', { ...at(30_500), options: { destination: webhook('http://a.test') } })
        await put(w, 'd', { ...at(30_500), options: { destination: { type: 'stream', name: 's' } } })
        await put(w, 'e', at(200_000))
        await put(w, 'f', at(400_000))
        const { now, overdue, oldestMs, soon, perSecond } = await w.scripts.load(w.shard)
        expect([overdue, soon]).toEqual([2, 3])
        expect(oldestMs).toBe(now - from + 5_000)
        expect(perSecond).toHaveLength(60)
        expect(perSecond.reduce((sum, count) => sum + count, 0)).toBe(2)
        expect(perSecond[Math.ceil((from + 30_500 - now) / 1_000) - 1]).toBe(2)
      })
    })

    describe('count', () => {
      it('counts by state, and tells for how long the longest overdue message has been', async () => {
        const w = world()
        expect(await w.scripts.count(w.shard)).toEqual({
          ...{ scheduled: 0, claimed: 0, dead: 0, stranded: 0, overdueMs: 0, lateMs: 0, paused: 0 },
        })
        await oneOfEach(w)
        expect(await w.scripts.count(w.shard)).toEqual({
          ...{ scheduled: 1, claimed: 1, dead: 1, stranded: 0, overdueMs: 0, lateMs: 0, paused: 0 },
        })
        const from = await w.now()
        await put(w, 'late', { due: { at: from - 5_000 } })
        await put(w, 'later', { due: { at: from - 3_000 } })
        const { scheduled, overdueMs } = await w.scripts.count(w.shard)
        expect(scheduled).toBe(3)
        expect(overdueMs).toBeGreaterThanOrEqual(5_000)
        expect(overdueMs).toBeLessThanOrEqual(5_000 + (await w.now()) - from)
      })
    })
  })
}
