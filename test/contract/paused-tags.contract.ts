import { describe, expect, it } from 'vitest'
import { cancel, claim, put, reschedule, shift } from '../support/acts.ts'
import { workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { lanesOf, ONE } from '../support/lanes.ts'
import { find, keysIn, scoreOf, stateOf } from '../support/look-ups.ts'
import { claimAllDue, HOST, PAUSED, QUEUE, RED, STREAM, setPauses } from '../support/pausing.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, FIRST_PAGE, ids } from '../support/values.ts'

/** What a paused tag holds delays nothing, and all of it comes later. */
export function describePausedTags(kind: string, redisUrl: () => string, shard: number): void {
  describe(`paused tags on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a paused tag', () => {
      it.each([
        ['the console', {}, {}],
        ['a host', HOST, {}],
        ['a queue', QUEUE, workerRoom('q')],
        ['streams', STREAM, {}],
      ])('delays nothing behind it for %s, however much is in front', async (_what, options, room) => {
        const w = world()
        const paused = ids(1_200, 'red')
        await w.scripts.schedule(
          w.shard,
          paused.map((id) => entry(id, { due: { at: 1 }, options: { ...options, ...RED } })),
        )
        await put(w, 'behind', { due: { at: 2 }, options })
        await setPauses(w, { 'tag:red': PAUSED })
        const calls = await claimAllDue(w, room)
        expect(calls.flatMap((call) => call.ids).length + calls.flatMap(({ moved }) => moved).length).toBe(1)
        // A call sets a bounded number aside.
        expect(calls.length).toBeGreaterThan(2)
        expect(calls.at(-1)?.nextDueInMs).toBeNull()
        await checkKeys(w)
        expect(await stateOf(w, paused[7] ?? '')).toBe('scheduled')
        expect(await w.scripts.count(w.shard)).toMatchObject({
          paused: 1_200,
          lateMs: 0,
          overdueMs: 0,
          stranded: 0,
        })
        await setPauses(w, {})
        const after = await claimAllDue(w, room)
        const got = after.flatMap((call) => call.ids)
        expect(got.length + after.flatMap(({ moved }) => moved).length).toBe(1_200)
        expect(new Set(got).size).toBe(got.length)
        await checkKeys(w)
      })

      const setAside = async (w: ScriptWorld, id: string, options: object = {}) => {
        await put(w, id, { due: { at: 1 }, options: { ...options, ...RED } })
        await setPauses(w, { 'tag:red': PAUSED })
        await claimAllDue(w)
        expect((await lanesOf(w)) as object).toMatchObject({ paused: [id] })
      }

      it('has messages set aside that are listed, found, and cancelled', async () => {
        const w = world()
        await setAside(w, 'a')
        expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: 1 })
        const listed = await w.scripts.list(w.shard, { ...FIRST_PAGE, index: 'laned' })
        expect(listed.rows.map(({ id }) => id)).toEqual(['a'])
        const forecast = await w.scripts.forecast(w.shard, { from: 0, to: 10, bucketMs: 10 })
        expect(forecast).toEqual([1])
        expect(await cancel(w, 'a')).toBe('cancelled')
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages', 'pauses'])
      })

      it.each([
        ['the console', {}],
        ['a host', HOST],
      ])('has messages for %s set aside that can be changed and shifted', async (_what, options) => {
        const w = world()
        await setAside(w, 'a', options)
        const later = (await w.now()) + 60_000
        expect((await reschedule(w, 'a', { due: { at: later } })).word).toBe('rescheduled')
        await checkKeys(w)
        expect(await scoreOf(w, 'a')).toBe(later)
        await reschedule(w, 'a', { due: { at: 1 } })
        await claimAllDue(w)
        expect(await lanesOf(w)).toMatchObject({ paused: ['a'] })
        expect((await shift(w, ['a'], later)).shifted).toBe(1)
        await checkKeys(w)
        expect(await scoreOf(w, 'a')).toBe(later + 1)
        expect(await lanesOf(w)).not.toHaveProperty('paused')
      })

      it('holds nothing of a message that loses it', async () => {
        const w = world()
        await setAside(w, 'a', HOST)
        await reschedule(w, 'a', { options: { tags: undefined } })
        expect((await claim(w)).ids).toEqual(['a'])
        await checkKeys(w)
      })

      it('holds a message until all of its pauses are over', async () => {
        const w = world()
        await put(w, 'a', { options: { ...HOST, tags: ['red', 'blue'] } })
        await setPauses(w, { 'tag:red': PAUSED, 'tag:blue': PAUSED, [`lane:webhook:${ONE}`]: PAUSED })
        expect(await claimAllDue(w)).toMatchObject([{ ids: [] }])
        for (const left of [{ 'tag:red': PAUSED, 'tag:blue': PAUSED }, { 'tag:blue': PAUSED }]) {
          await setPauses(w, left)
          expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual([])
          await checkKeys(w)
        }
        await setPauses(w, {})
        expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual(['a'])
      })

      it('ends by itself, and what was set aside comes back', async () => {
        const w = world()
        await put(w, 'a', { options: RED })
        const ends = (await w.now()) + 60_000
        await setPauses(w, { 'tag:red': `paused ${ends}` })
        const [reply] = await claimAllDue(w)
        expect((reply?.nextDueInMs ?? 0) + (reply?.now ?? 0)).toBe(ends)
        w.pass(60_001)
        expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual(['a'])
        await checkKeys(w)
      })

      it('lets go of an id that a server of an older version has cancelled, and a client used again', async () => {
        const w = world()
        await setAside(w, 'a')
        // As such a server cancels it.
        await w.client.zrem(w.keys.laned, 'a')
        await w.client.hdel(w.keys.messages, 'a')
        await w.client.zrem(`${w.keys.tagPrefix}red`, 'a')
        const later = (await w.now()) + 60_000
        await put(w, 'a', { due: { at: later } })
        await setPauses(w, {})
        expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual([])
        await checkKeys(w)
        expect(await scoreOf(w, 'a')).toBe(later)
      })
    })
  })
}
