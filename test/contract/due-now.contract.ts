import { describe, expect, it } from 'vitest'
import { claim, fail, inSteps, listen, put, reject } from '../support/acts.ts'
import { ONE, toHost, toQueue } from '../support/lanes.ts'
import { find, recordOf, scoreOf, stateOf, tagged } from '../support/look-ups.ts'
import { oneOfEach } from '../support/retained.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { HOUR_MS } from '../support/values.ts'

const changes = { due: 'now', payload: null, options: [] } as const

/** Having a message delivered as soon as possible. */
export function describeDueNow(kind: string, redisUrl: () => string, shard: number): void {
  describe(`messages that are made due now on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)
    const makeDue = (w: ScriptWorld, id: string, ifMatch = '') =>
      w.scripts.reschedule(w.shard, { id, ifMatch, changes })

    it('are due at once, in each lane and under their tags', async () => {
      const w = world()
      const due = { inMs: HOUR_MS }
      const options = { main: {}, host: toHost(ONE), queue: toQueue() }
      for (const [id, each] of Object.entries(options))
        await put(w, id, { due, options: { ...each, tags: ['t'] } })
      const wakes = await listen(w)
      try {
        for (const id of Object.keys(options)) {
          const before = await w.now()
          const reply = await makeDue(w, id)
          expect(reply).toMatchObject({ word: 'rescheduled', found: { id, state: 'scheduled' } })
          const score = await scoreOf(w, id)
          expect(score).toBeGreaterThanOrEqual(before)
          expect(score).toBeLessThanOrEqual(await w.now())
          expect(await recordOf(w, id)).toMatchObject({ dueAt: score, version: 2, tags: ['t'] })
          expect(await tagged(w, 't')).toContain(String(score))
        }
        expect(await wakes.heard()).toEqual(['0 ', `0 webhook:${ONE}`, '0 pull:q'])
      } finally {
        wakes.stop()
      }
      expect((await claim(w)).ids.sort()).toEqual(['host', 'main'])
    })

    it('keep a time that has come, and so their place before others', async () => {
      const w = world()
      await put(w, 'a', { due: { at: 5 } })
      const reply = await makeDue(w, 'a')
      expect(reply).toMatchObject({ word: 'rescheduled', found: { score: 5 } })
      expect(await recordOf(w, 'a')).toMatchObject({ dueAt: 5 })
    })

    it('do not wait for a retry any more, and keep their failures', async () => {
      const w = world()
      await inSteps(
        w,
        () => put(w, 'a', { due: { at: 5 }, options: toHost() }),
        () => fail(w, HOUR_MS),
        () => makeDue(w, 'a'),
      )
      expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: 5, attemptCounts: '1 0' })
      expect((await claim(w)).ids).toEqual(['a'])
    })

    it('are scheduled again if they were dead, as if they had never failed', async () => {
      const w = world()
      await inSteps(
        w,
        () => put(w, 'a', { due: { at: 5 }, options: { ...toHost(), tags: ['t'] } }),
        () => fail(w, 0),
        () => reject(w, 'status 410'),
        () => makeDue(w, 'a'),
      )
      expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: 5, attemptCounts: '' })
      expect(await tagged(w, 't')).toEqual(['a', '5'])
      expect(await w.client.exists(w.keys.dead)).toBe(0)
      expect((await claim(w)).ids).toEqual(['a'])
    })

    it('are refused, and nothing changes, in any other state and at another version', async () => {
      const w = world()
      await oneOfEach(w)
      const before = await w.snapshot()
      for (const [id, word] of [
        ...[['nowhere', 'unknown'] as const, ['claimed', 'claimed'] as const],
        ...[['delivered', 'finished'] as const, ['dropped', 'finished'] as const],
      ])
        expect(await makeDue(w, id)).toEqual({ word })
      for (const id of ['scheduled', 'dead']) expect(await makeDue(w, id, '7')).toEqual({ word: 'version' })
      expect(await w.snapshot()).toBe(before)
      expect(await stateOf(w, 'dead')).toBe('dead')
      expect(await makeDue(w, 'dead', '1')).toMatchObject({ word: 'rescheduled' })
    })
  })
}
