import { describe, expect, it } from 'vitest'
import { claim, put } from '../support/acts.ts'
import { checkKeys } from '../support/invariants.ts'
import { ONE } from '../support/lanes.ts'
import { claimAllDue, HOST, PAUSED, RED, setPauses } from '../support/pausing.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, ids } from '../support/values.ts'

/** The list of pauses, the copies of the shards, and single messages that pass. */
export function describePauseLists(kind: string, redisUrl: () => string, shard: number): void {
  describe(`lists of pauses on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('let-pass', () => {
      it.each([
        ['a lane', `lane:webhook:${ONE}`],
        ['everything', 'all'],
        ['a tag', 'tag:red'],
      ])('has one message delivered although %s is paused, once', async (_what, field) => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ['a', 'b', 'c'].map((id) => entry(id, { options: { ...HOST, ...RED } })),
        )
        await setPauses(w, { [field]: PAUSED })
        await claimAllDue(w)
        expect(await w.scripts.letPass(w.shard, 'b')).toBe('passes')
        await checkKeys(w)
        const calls = await claimAllDue(w)
        expect(calls.flatMap((call) => call.ids)).toEqual(['b'])
        await w.scripts.release(
          w.shard,
          calls.flatMap(({ claims, token }) =>
            claims.map(
              ({ id }) => ({ id, token, why: 'postponed', delayMs: 0, reason: 'no', report: '' }) as const,
            ),
          ),
        )
        // A retry is held like all others.
        expect((await claimAllDue(w)).flatMap((call) => call.ids)).toEqual([])
        await checkKeys(w)
      })

      it('says what it does not do', async () => {
        const w = world()
        await put(w, 'a', {})
        expect(await w.scripts.letPass(w.shard, 'a')).toBe('free')
        await setPauses(w, { all: PAUSED })
        expect(await w.scripts.letPass(w.shard, 'nobody')).toBe('unknown')
        const passes = ids(1_000, 'pass:').flatMap((field) => [field, '1 '])
        await w.client.hset(w.keys.pauses, ...passes)
        expect(await w.scripts.letPass(w.shard, 'a')).toBe('full')
      })
    })

    describe('copy-pauses', () => {
      it('keeps a newer list', async () => {
        const w = world()
        await put(w, 'a', {})
        await w.scripts.copyPauses(w.shard, { revision: 5, pauses: [['all', PAUSED]] })
        await w.scripts.copyPauses(w.shard, { revision: 4, pauses: [] })
        expect((await claim(w)).ids).toEqual([])
        await w.scripts.copyPauses(w.shard, { revision: 6, pauses: [] })
        expect((await claim(w)).ids).toEqual(['a'])
        expect(await w.client.pttl(w.keys.pauses)).toBeGreaterThan(0)
      })
    })

    describe('the list of pauses', () => {
      const text = (until: number | null) =>
        JSON.stringify({ at: 1, until, note: null, by: null, resume: null })

      it('answers what there is, and whether it was new', async () => {
        const w = world()
        const { scripts } = w
        expect(await scripts.changePauses({ act: 'read' })).toMatchObject({ word: 'read', revision: 0 })
        const set = { act: 'set', target: 'all', text: text(null) } as const
        const created = await scripts.changePauses(set)
        expect(created).toMatchObject({ word: 'created', texts: new Map([['all', text(null)]]) })
        const replaced = await scripts.changePauses(set)
        expect(replaced.word).toBe('replaced')
        expect(replaced.revision).toBeGreaterThan(created.revision)
        expect((await scripts.changePauses({ ...set, expected: 'other' })).word).toBe('changed')
        expect((await scripts.changePauses({ act: 'delete', target: 'all' })).word).toBe('deleted')
        expect((await scripts.changePauses({ act: 'delete', target: 'all' })).word).toBe('unknown')
      })

      it('is bounded, refuses what has ended, and drops it by itself', async () => {
        const w = world()
        const { scripts } = w
        const now = await w.now()
        const set = (target: string, until: number | null) =>
          scripts.changePauses({ act: 'set', target, text: text(until) }).then(({ word }) => word)
        expect(await set('all', now - 1)).toBe('past')
        expect(await set('all', now + 60_000)).toBe('created')
        for (let i = 0; i < 99; i += 1) expect(await set(`tag:${i}`, null)).toBe('created')
        expect(await set('tag:more', null)).toBe('full')
        expect(await set('tag:7', null)).toBe('replaced')
        w.pass(60_001)
        const { texts } = await scripts.changePauses({ act: 'read' })
        expect(texts.has('all')).toBe(false)
        expect(await set('tag:more', null)).toBe('created')
      })
    })
  })
}
