import { describe, expect, it } from 'vitest'
import { claim, fail, put } from '../support/acts.ts'
import { workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { ONE, TWO, toHost } from '../support/lanes.ts'
import { stateOf } from '../support/look-ups.ts'
import { claimAllDue, HOST, PAUSED, QUEUE, STREAM, setPauses } from '../support/pausing.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry } from '../support/values.ts'

/** One due message for each kind of destination, and one for another host. */
async function putOneOfEach(w: ScriptWorld): Promise<void> {
  await w.scripts.schedule(w.shard, [
    entry('console'),
    entry('host', { options: HOST }),
    entry('other', { options: toHost(TWO) }),
    entry('stream', { options: STREAM }),
    entry('queue', { options: QUEUE }),
  ])
}

/** What is claimed, for every kind, and of streams how many were moved. */
async function claimEverything(w: ScriptWorld) {
  const ofServers = await claim(w)
  const ofWorkers = await claim(w, workerRoom('q'))
  return {
    ids: [...ofServers.ids, ...ofWorkers.ids].sort(),
    moved: ofServers.moved.length,
    ofServers,
    ofWorkers,
  }
}

/** What is paused is not claimed by any script, and nothing else is held. */
export function describePauses(kind: string, redisUrl: () => string, shard: number): void {
  describe(`pauses on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a paused lane', () => {
      it.each([
        ['the console', 'lane:', 'console'],
        ['a host', `lane:webhook:${ONE}`, 'host'],
        ['a queue', 'lane:pull:q', 'queue'],
      ])('is left alone for %s, and the others are not', async (_what, field, id) => {
        const w = world()
        await putOneOfEach(w)
        await setPauses(w, { [field]: PAUSED })
        const others = ['console', 'host', 'other', 'queue'].filter((other) => other !== id)
        expect(await claimEverything(w)).toMatchObject({ ids: others, moved: 1 })
        expect(await stateOf(w, id)).toBe('scheduled')
        const again = await claimEverything(w)
        expect(again.ids).toEqual([])
        // Nobody asks for it again and again.
        expect(again.ofServers.nextDueInMs).toBeNull()
        expect(again.ofWorkers.nextDueInMs).toBeNull()
        await checkKeys(w)
        await setPauses(w, {})
        expect((await claimEverything(w)).ids).toEqual([id])
      })

      it('is left alone for streams', async () => {
        const w = world()
        await putOneOfEach(w)
        await setPauses(w, { 'lane:stream': PAUSED })
        expect(await claimEverything(w)).toMatchObject({
          ids: ['console', 'host', 'other', 'queue'],
          moved: 0,
        })
        await setPauses(w, {})
        expect(await claimEverything(w)).toMatchObject({ ids: [], moved: 1 })
      })

      it('is left alone with everything', async () => {
        const w = world()
        await putOneOfEach(w)
        await setPauses(w, { all: PAUSED })
        const reply = await claimEverything(w)
        expect(reply).toMatchObject({ ids: [], moved: 0 })
        expect([reply.ofServers.nextDueInMs, reply.ofWorkers.nextDueInMs]).toEqual([null, null])
        await setPauses(w, {})
        expect(await claimEverything(w)).toMatchObject({
          ids: ['console', 'host', 'other', 'queue'],
          moved: 1,
        })
      })

      it('ends by itself, at a time that every claim tells', async () => {
        const w = world()
        await putOneOfEach(w)
        const ends = (await w.now()) + 60_000
        await setPauses(w, { all: `paused ${ends}` })
        const before = await claimEverything(w)
        expect(before.ids).toEqual([])
        for (const { nextDueInMs, now } of [before.ofServers, before.ofWorkers])
          expect((nextDueInMs ?? 0) + now).toBe(ends)
        const peeked = await w.scripts.peek(w.shard, ['pull:q'])
        expect(peeked.nextDueInMs[0]).toBeGreaterThan(0)
        w.pass(60_001)
        await claimEverything(w)
        expect((await claimEverything(w)).ids.length + (await w.client.zcard(w.keys.claimed))).toBe(4)
      })

      it('is told apart by a look at queues', async () => {
        const w = world()
        await putOneOfEach(w)
        await setPauses(w, { 'lane:pull:q': PAUSED })
        expect((await w.scripts.peek(w.shard, ['pull:q'])).nextDueInMs).toEqual([null])
        await setPauses(w, {})
        expect((await w.scripts.peek(w.shard, ['pull:q'])).nextDueInMs).toEqual([0])
      })

      it('does not count as late, and what it holds is counted', async () => {
        const w = world()
        const now = await w.now()
        await put(w, 'old', { due: { at: now - 90_000 }, options: HOST })
        await put(w, 'new', { due: { at: now - 10_000 }, options: toHost(TWO) })
        const before = await w.scripts.count(w.shard)
        expect(before.lateMs).toBeGreaterThanOrEqual(90_000)
        expect(before.paused).toBe(0)
        await setPauses(w, { [`lane:webhook:${ONE}`]: PAUSED })
        const after = await w.scripts.count(w.shard)
        expect(after.paused).toBe(1)
        for (const ms of [after.lateMs, after.overdueMs]) {
          expect(ms).toBeGreaterThanOrEqual(10_000)
          expect(ms).toBeLessThan(90_000)
        }
        const fields = ['all', `lane:webhook:${ONE}`, 'lane:pull:none', 'tag:none']
        expect(await w.scripts.countPaused(w.shard, { from: 0, fields })).toEqual([2, 1, 0, 0])
        expect(await w.scripts.countPaused(w.shard, { from: now - 20_000, fields })).toEqual([1, 0, 0, 0])
      })
    })

    it('hold what fails, too', async () => {
      const w = world()
      await put(w, 'a', { options: HOST })
      await fail(w, 0)
      await setPauses(w, { [`lane:webhook:${ONE}`]: PAUSED })
      expect(await claimAllDue(w)).toMatchObject([{ ids: [], nextDueInMs: null }])
      await setPauses(w, {})
      expect((await claim(w)).ids).toEqual(['a'])
    })
  })
}
