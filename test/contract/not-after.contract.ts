import { describe, expect, it } from 'vitest'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { claim, fail, put } from '../support/acts.ts'
import { LOCK_MS, MAIN_ONLY } from '../support/claim-all.ts'
import { find, stateOf } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry } from '../support/values.ts'

/** What becomes of messages that are too late. */
export function describeNotAfter(kind: string, redisUrl: () => string, shard: number): void {
  describe(`notAfter on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('not-after', () => {
      const EVERY = 1_500

      for (const [onLate, becomes] of [
        ['deliver', 'claimed'],
        ['drop', 'dropped'],
        ['dead-letter', 'dead'],
        [undefined, 'claimed'],
      ] as const) {
        it(`leads to ${becomes} by ${onLate} one millisecond after it, and not before`, async () => {
          const w = world()
          const now = (await w.now()) - 50
          // The clock runs on while the test does: one message for every millisecond in which it may be claimed.
          const entries = Array.from({ length: EVERY }, (_, i) => {
            const options = { notAfter: now + i, ...(onLate === undefined ? {} : { onLate }) }
            return entry(`~${i}`, { due: { at: now - 1 }, options })
          })
          await w.scripts.schedule(w.shard, entries)
          const reply = await claim(w)
          const late = reply.now - now
          expect(late).toBeLessThan(EVERY)
          const onTime = Array.from({ length: EVERY - late }, (_, i) => `~${late + i}`)
          const tooLate = Array.from({ length: late }, (_, i) => `~${i}`)
          const claimed = becomes === 'claimed' ? [...tooLate, ...onTime] : onTime
          expect(new Set(reply.ids)).toEqual(new Set(claimed))
          expect(reply.dropped).toBe(becomes === 'dropped' ? tooLate.length : 0)
          expect(reply.died).toBe(becomes === 'dead' ? tooLate.length : 0)
          expect(await stateOf(w, '~0')).toBe(becomes)
          expect(await stateOf(w, `~${late}`)).toBe('claimed')
        })
      }

      it('is looked at again when a retry is due and when a claim is recovered', async () => {
        const w = world()
        const now = await w.now()
        const late = (onLate: 'drop' | 'dead-letter') => ({
          due: { at: now },
          options: { notAfter: now + 100_000, onLate },
        })
        await put(w, 'a', late('drop'))
        await put(w, 'b', late('dead-letter'))
        await fail(w, 50_000)
        w.pass(50_000)
        expect((await claim(w)).ids).toEqual(['a', 'b'])
        w.pass(LOCK_MS + 1)
        const reply = await claim(w, MAIN_ONLY)
        expect(reply).toMatchObject({ ids: [], recovered: 2, dropped: 1, died: 1 })
        expect(await find(w, 'b')).toMatchObject({ state: 'dead', attemptCounts: '1 1', score: reply.now })
        const dropped = decodeHistoryEntry((await find(w, 'a'))?.record ?? '')
        expect(dropped).toMatchObject({
          attemptCounts: '1 1',
          finishedAt: reply.now,
          lateMs: reply.now - now,
        })
        expect(await w.client.hgetall(w.keys.attempts)).toEqual({ b: '1 1' })
        expect(await w.lockOf('a')).toBeNull()
      })

      it('is refused before the due time and accepted at it, whether the time is given or follows', async () => {
        const w = world()
        expect(await put(w, 'a', { due: { at: 100 }, options: { notAfter: 99 } })).toBe('expired')
        expect(await put(w, '~a', { due: { at: 100 }, options: { notAfter: 99 } })).toBe('expired')
        expect(await put(w, 'b', { due: { at: 100 }, options: { notAfter: 100 } })).toBe('scheduled')
        const now = await w.now()
        expect(await put(w, 'c', { due: { inMs: 1_000 }, options: { notAfter: now } })).toBe('expired')
        expect(await put(w, 'd', { due: { inMs: 1_000 }, options: { notAfter: now + 60_000 } })).toBe(
          'scheduled',
        )
        expect((await w.client.hkeys(w.keys.messages)).sort()).toEqual(['b', 'd'])
        expect(await w.client.zcard(w.keys.scheduled)).toBe(2)
      })
    })
  })
}
