import { describe, expect, it } from 'vitest'
import { claim, put } from '../support/acts.ts'
import { workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { ONE } from '../support/lanes.ts'
import { find, recordOf, scoreOf, tagged } from '../support/look-ups.ts'
import { claimAllDue, HOST, PAUSED, QUEUE, RED, resuming, setPauses } from '../support/pausing.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, ids } from '../support/values.ts'

/** What was paused falls due at a pace, a bounded part in each call. */
export function describeResuming(kind: string, redisUrl: () => string, shard: number): void {
  describe(`resuming on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a pause that is resumed', () => {
      const COUNT = 1_000
      const putMany = async (w: ScriptWorld, options: object) => {
        const now = await w.now()
        const all = ids(COUNT)
        await w.scripts.schedule(
          w.shard,
          all.map((id, i) => entry(id, { due: { at: now - 2_000 + i }, options })),
        )
        return { now, all }
      }

      it.each([
        ['the console', 'lane:', {}],
        ['a host', `lane:webhook:${ONE}`, HOST],
        ['a queue', 'lane:pull:q', QUEUE],
        ['a tag', 'tag:red', { ...HOST, ...RED }],
        ['everything', 'all', HOST],
      ])('over a time has what waits for %s fall due evenly, in order', async (_what, field, options) => {
        const w = world()
        const { all } = await putMany(w, options)
        await setPauses(w, { [field]: PAUSED })
        expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual([])
        const at = await w.now()
        const OVER_MS = 1_000_000
        const left = await setPauses(w, { [field]: resuming(at, { overMs: OVER_MS }) })
        expect(left).toContain(field)
        const calls = await claimAllDue(w)
        // Each call does a bounded part, and another server could make the next.
        expect(calls.length).toBeGreaterThan(1)
        await checkKeys(w)
        const found = await w.scripts.find(w.shard, all)
        const due = found.map((each) => each?.score ?? 0)
        const [first = 0, last = 0] = [Math.min(...due), Math.max(...due)]
        expect(first).toBeGreaterThan(at)
        expect(last).toBeLessThanOrEqual(at + OVER_MS)
        for (let tenth = 0; tenth < 10; tenth += 1) {
          const [from, to] = [at + (tenth * OVER_MS) / 10, at + ((tenth + 1) * OVER_MS) / 10]
          const count = due.filter((score) => score > from && score <= to).length
          expect(count).toBeGreaterThanOrEqual(COUNT * 0.08)
          expect(count).toBeLessThanOrEqual(COUNT * 0.12)
        }
        expect(due).toEqual(due.toSorted((a, b) => a - b))
        // Its own time has stayed.
        expect((await recordOf(w, all[3] ?? '')).dueAt).toBeLessThan(at)
        w.pass(OVER_MS)
        const got = [...(await claimAllDue(w)), ...(await claimAllDue(w, workerRoom('q')))].flatMap(
          (call) => call.ids,
        )
        expect(got.toSorted()).toEqual(all)
      })

      it('holds only what was due then while it is under way', async () => {
        const w = world()
        await putMany(w, HOST)
        await setPauses(w, { [`lane:webhook:${ONE}`]: PAUSED })
        const at = await w.now()
        await setPauses(w, { [`lane:webhook:${ONE}`]: resuming(at, { overMs: 1_000_000 }) })
        w.pass(5)
        await put(w, 'new', { due: { at: at + 1 }, options: HOST })
        const first = await claim(w)
        expect(first.ids).toContain('new')
        expect(first.nextDueInMs).toBe(0)
        await checkKeys(w)
      })

      it('makes what is too old a dead letter', async () => {
        const w = world()
        const now = await w.now()
        await put(w, 'old', { due: { at: now - 7_200_000 }, options: HOST })
        await put(w, 'retried', { due: { at: now - 7_200_000 }, options: HOST })
        await put(w, 'young', { due: { at: now - 60_000 }, options: HOST })
        await setPauses(w, { [`lane:webhook:${ONE}`]: resuming(now, { skipBefore: now - 3_600_000 }) })
        const calls = await claimAllDue(w)
        expect(calls.flatMap((call) => call.ids)).toEqual(['young'])
        expect(calls.reduce((sum, { died }) => sum + died, 0)).toBe(2)
        expect(await find(w, 'old')).toMatchObject({ state: 'dead', failures: 'skipped' })
        await checkKeys(w)
      })

      it('is not begun again by a list that still has it', async () => {
        const w = world()
        const { all } = await putMany(w, HOST)
        const field = `lane:webhook:${ONE}`
        const value = resuming(await w.now(), { overMs: 1_000_000 })
        await setPauses(w, { [field]: value })
        await claimAllDue(w)
        const before = await scoreOf(w, all[0] ?? '')
        expect(await setPauses(w, { [field]: value, 'lane:stream': PAUSED })).toEqual([])
        await claimAllDue(w)
        expect(await scoreOf(w, all[0] ?? '')).toBe(before)
      })

      it('updates the index of every tag', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 1 }, options: { ...HOST, tags: ['red', 'blue'] } })
        const at = await w.now()
        await setPauses(w, { 'tag:red': PAUSED })
        await claimAllDue(w)
        await setPauses(w, { 'tag:red': resuming(at, { overMs: 1_000 }) })
        await claimAllDue(w)
        const score = String(await scoreOf(w, 'a'))
        expect(await tagged(w, 'red')).toEqual(['a', score])
        expect(await tagged(w, 'blue')).toEqual(['a', score])
      })
    })
  })
}
