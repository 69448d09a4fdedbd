import { describe, expect, it } from 'vitest'
import type { MessageOptions } from '../../src/domain/message.ts'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { decodeRecord } from '../../src/records/record.ts'
import { cancel, claim, fail, put, reschedule, shift } from '../support/acts.ts'
import { LOCK_MS } from '../support/claim-all.ts'
import { find, recordOf, tagged } from '../support/look-ups.ts'
import { oneOfEach } from '../support/retained.ts'
import { delivered } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, FIRST_PAGE, HOUR_MS, LAST, postponed } from '../support/values.ts'

/** Moving messages in time, and times near the last one that is allowed. */
export function describeShifts(kind: string, redisUrl: () => string, shard: number): void {
  describe(`shifts on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('shift', () => {
      it('moves time, retry and not-after, raises the version, and leaves the rest', async () => {
        const w = world()
        const options: MessageOptions = { tags: ['t'], notAfter: 900, onLate: 'drop' }
        await put(w, 'a', { due: { at: 100 }, options })
        await put(w, '~b', { due: { at: 200 } })
        const before = await recordOf(w, 'a')
        expect(await shift(w, ['a', '~b'], 50)).toEqual({
          ...{ processed: 2, shifted: 2, claimed: 0, unreadable: 0, later: 0 },
          ...{ nextDueInMs: null, nextDueLane: '', notShifted: [] },
        })
        expect(await recordOf(w, 'a')).toEqual({ ...before, dueAt: 150, notAfter: 950, version: 2 })
        expect(await w.client.hget(w.keys.messages, '~b')).toMatch(
          /^250\{(?:"h":\["2 \d+"\],"v":2|"v":2,"h":\["2 \d+"\])\}\n"x"$/, // in the order this Redis writes them
        )
        expect(await w.client.zrange(w.keys.scheduled, '0', '-1', 'WITHSCORES')).toEqual([
          ...['a', '150', '~b', '250'],
        ])
        expect(await shift(w, ['~b', 'a'], -120)).toMatchObject({
          processed: 2,
          shifted: 2,
          nextDueInMs: 0,
          nextDueLane: '',
        })
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: 30, notAfter: 830, version: 3 })
        await reschedule(w, 'a', { options: { notAfter: undefined, onLate: undefined } })
        await fail(w, 60_000)
        const retryAt = (await find(w, 'a'))?.score ?? 0
        await shift(w, ['a'], 5_000)
        expect(await find(w, 'a')).toMatchObject({ score: retryAt + 5_000, attemptCounts: '1 0' })
        expect((await recordOf(w, 'a')).dueAt).toBe(5_030)
      })

      it('leaves alone what is not scheduled', async () => {
        const w = world()
        await oneOfEach(w)
        const before = await w.snapshot()
        const ids = ['claimed', 'dead', 'delivered', 'dropped', 'nowhere']
        const answer = await shift(w, ids, 50)
        expect(answer).toMatchObject({
          processed: 5,
          shifted: 0,
          claimed: 1,
          unreadable: 0,
          nextDueInMs: null,
          notShifted: ids,
        })
        expect(await w.snapshot()).toBe(before)
      })

      it('looks at fewer than all once their records are large, and says at how many', async () => {
        const w = world()
        const ids = Array.from({ length: 12 }, (_, i) => `large${i}`)
        for (const id of ids) await put(w, id, { due: { inMs: HOUR_MS }, payload: 'x'.repeat(1_000_000) })
        const { processed, shifted } = await shift(w, ids, 50)
        expect(processed).toBe(shifted)
        expect(processed).toBeGreaterThan(3)
        expect(processed).toBeLessThan(8)
        const words = await w.scripts.cancel(w.shard, { ids, ifMatch: '', states: ['scheduled'] })
        expect(words.length).toBeGreaterThan(3)
        expect(words.length).toBeLessThan(8)
      })

      it('moves nothing beyond the last time there is, nor before the first', async () => {
        const w = world()
        await put(w, 'a', { due: { at: LAST - 10 }, options: { notAfter: LAST - 5 } })
        await shift(w, ['a'], 8)
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: LAST - 2, notAfter: LAST })
        await shift(w, ['a'], LAST)
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: LAST, notAfter: LAST })
        await shift(w, ['a'], -LAST - 1)
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: 0, notAfter: 0 })
        expect(await find(w, 'a')).toMatchObject({ score: 0 })
      })
    })

    describe('times', () => {
      it('are exact to the end of the year 9999 through every script that writes one', async () => {
        const w = world()
        const exact = async (id: string, dueAt: number, notAfter: number, score = dueAt) => {
          expect(await recordOf(w, id)).toMatchObject({ dueAt, notAfter })
          expect(await w.client.hget(w.keys.messages, id)).toMatch(
            new RegExp(`^${dueAt}\\{.*"n":"${notAfter}"`),
          )
          expect(await tagged(w, 't')).toEqual([id, String(score)])
          expect((await find(w, id))?.score).toBe(score)
        }
        const options = { notAfter: LAST, tags: ['t'] }
        await put(w, 'a', { due: { at: LAST - 1 }, options })
        await exact('a', LAST - 1, LAST)
        await reschedule(w, 'a', { payload: 'y' })
        await exact('a', LAST - 1, LAST)
        await reschedule(w, 'a', { due: { at: LAST } })
        await exact('a', LAST, LAST)
        await shift(w, ['a'], -3)
        await exact('a', LAST - 3, LAST - 3)
        await shift(w, ['a'], 2)
        await exact('a', LAST - 1, LAST - 1)
        const { rows } = await w.scripts.list(w.shard, { ...FIRST_PAGE, from: LAST - 1, before: LAST })
        expect(rows.map(({ score }) => score)).toEqual([String(LAST - 1)])
        const forecast = { from: LAST - 2, to: LAST + 1, bucketMs: 1 }
        expect(await w.scripts.forecast(w.shard, forecast)).toEqual([0, 1, 0])

        // On that day itself: delays, locks, retries, recoveries, drops and outcomes.
        w.pass(LAST - HOUR_MS - (await w.now()))
        const { now } = await w.scripts.schedule(w.shard, [
          entry('b', { due: { inMs: 1_001 }, payload: 'b' }),
        ])
        expect(await recordOf(w, 'b')).toMatchObject({ dueAt: now + 1_001, createdAt: now })
        await cancel(w, 'b')
        await reschedule(w, 'a', { due: { inMs: 7 } })
        const dueAt = (await recordOf(w, 'a')).dueAt
        expect(dueAt).toBeGreaterThanOrEqual(now + 7)
        expect(dueAt).toBeLessThan(now + 60_000)
        await exact('a', dueAt, LAST - 1)
        w.pass(7)
        const claimed = await claim(w)
        expect(claimed.claims).toMatchObject([{ id: 'a', attemptDueAt: dueAt }])
        expect(await w.client.zscore(w.keys.claimed, 'a')).toBe(String(claimed.now + LOCK_MS))
        await w.scripts.release(w.shard, [postponed(claimed.token, 'a', 11)])
        const retryAt = (await find(w, 'a'))?.score ?? 0
        expect(retryAt).toBeGreaterThanOrEqual(claimed.now + 11)
        await exact('a', dueAt, LAST - 1, retryAt)
        w.pass(11)
        await claim(w)
        w.pass(LOCK_MS + 1)
        const again = await claim(w)
        expect(again.claims).toMatchObject([{ id: 'a', attemptDueAt: dueAt, failures: 1, recoveries: 1 }])
        await w.scripts.acknowledge(w.shard, delivered(again.token, 'a'))
        const outcome = decodeHistoryEntry((await find(w, 'a'))?.record ?? '')
        expect(outcome.finishedAt).toBeGreaterThanOrEqual(again.now)
        expect(decodeRecord(outcome.record)).toMatchObject({ dueAt, notAfter: LAST - 1 })
        await put(w, '~c', { due: { at: 3 }, options: { notAfter: 3, onLate: 'drop' } })
        const last = await claim(w)
        const dropped = decodeHistoryEntry((await find(w, '~c'))?.record ?? '')
        expect(dropped).toMatchObject({ finishedAt: last.now, lateMs: last.now - 3 })
      })
    })
  })
}
