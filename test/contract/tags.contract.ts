import { describe, expect, it } from 'vitest'
import { cancel, claim, deliver, fail, put, reschedule, shift } from '../support/acts.ts'
import { LOCK_MS } from '../support/claim-all.ts'
import { find, keysIn, recordOf, stateOf, tagged } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, returned } from '../support/values.ts'

/** What is found by tag, and that what is not used costs nothing. */
export function describeTags(kind: string, redisUrl: () => string, shard: number): void {
  describe(`tags on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('tags', () => {
      it('list a message under each of them, scored by when it is due, also while it is claimed', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { tags: ['x', 'y:z', 'x'] } })
        expect(await tagged(w, 'x')).toEqual(['a', '5'])
        expect(await tagged(w, 'y:z')).toEqual(['a', '5'])
        await claim(w)
        expect(await tagged(w, 'x')).toEqual(['a', '5'])
      })

      it('are gone from the index on every way out', async () => {
        const w = world()
        const options = { tags: ['x', 'y'] }
        const late = (onLate: 'drop' | 'dead-letter') => ({ options: { ...options, notAfter: 1, onLate } })
        await put(w, 'delivered', { options })
        await put(w, 'dropped', late('drop'))
        await put(w, 'dead', late('dead-letter'))
        await put(w, 'cancelled', { due: { inMs: HOUR_MS }, options })
        await put(w, 'stays', { due: { inMs: HOUR_MS }, options })
        await deliver(w)
        expect(await cancel(w, 'cancelled')).toBe('cancelled')
        expect(await stateOf(w, 'dead')).toBe('dead')
        for (const tag of ['x', 'y']) {
          expect(await w.client.zrange(w.keys.tagPrefix + tag, '0', '-1')).toEqual(['stays'])
        }
      })

      it('stay off the index when those of a dead message are changed', async () => {
        const w = world()
        await put(w, 'a', { options: { tags: ['x'], notAfter: 1, onLate: 'dead-letter' } })
        await claim(w)
        await reschedule(w, 'a', { options: { tags: ['x', 'y'] } })
        expect(await stateOf(w, 'a')).toBe('dead')
        expect([await tagged(w, 'x'), await tagged(w, 'y')]).toEqual([[], []])
        expect(await cancel(w, 'a')).toBe('cancelled')
      })

      it('change with the message', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { tags: ['old', 'both'] } })
        await reschedule(w, 'a', { due: { at: 6 }, options: { tags: ['both', 'new'] } })
        expect([await tagged(w, 'old'), await tagged(w, 'both'), await tagged(w, 'new')]).toEqual([
          [],
          ['a', '6'],
          ['a', '6'],
        ])
        await reschedule(w, 'a', { options: { tags: [] } })
        expect([await tagged(w, 'both'), await tagged(w, 'new')]).toEqual([[], []])
        expect((await recordOf(w, 'a')).tags).toBeUndefined()
      })

      it('take over the time of a retry, of a recovery, of a reschedule and of a shift', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { tags: ['x'] } })
        await fail(w, 60_000)
        const retryAt = (await find(w, 'a'))?.score
        expect(await tagged(w, 'x')).toEqual(['a', String(retryAt)])
        w.pass(60_000)
        await claim(w)
        w.pass(LOCK_MS + 1)
        // Recovered, and out of reach of the same call's claim behind one that is due sooner.
        await put(w, 'first', { due: { at: 1 } })
        expect((await claim(w, { limit: 1 })).ids).toEqual(['first'])
        expect(await tagged(w, 'x')).toEqual(['a', '5'])
        await reschedule(w, 'a', { due: { at: 77 } })
        expect(await tagged(w, 'x')).toEqual(['a', '77'])
        await shift(w, ['a'], 3)
        expect(await tagged(w, 'x')).toEqual(['a', '80'])
        const { token, claims } = await claim(w)
        await w.scripts.release(
          w.shard,
          claims.map((one) => returned(token, one)),
        )
        expect(await tagged(w, 'x')).toEqual(['a', '80'])
      })

      it('may be any text, and half a character does not take the rest of its call down', async () => {
        const w = world()
        const tags = ['__proto__', 'ünï ☃', '"\\/', 'a\nb', '\u0000', '🔔', '{x}:*', '\ud800']
        const { words } = await w.scripts.schedule(w.shard, [
          entry('before'),
          entry('a', { options: { tags } }),
          entry('after'),
        ])
        expect(words).toEqual(['scheduled', 'scheduled', 'scheduled'])
        const stored = [...tags.slice(0, -1), '\ufffd']
        expect((await recordOf(w, 'a')).tags).toEqual(stored)
        await reschedule(w, 'a', { payload: 'y' })
        expect((await recordOf(w, 'a')).tags).toEqual(stored)
        for (const tag of stored) expect(await tagged(w, tag)).toEqual(['a', '1'])
        expect(await cancel(w, 'a')).toBe('cancelled')
        for (const tag of stored) expect(await tagged(w, tag)).toEqual([])
      })
    })

    it('a message without tags, id, dedup or notAfter pays nothing for them in memory', async () => {
      const w = world()
      await put(w, '~a', { due: { at: 100 }, options: { tags: [], destination: { type: 'console' } } })
      await put(w, '~b', { due: { inMs: HOUR_MS } })
      expect(await keysIn(w)).toEqual(['messages', 'scheduled_messages'])
      expect(await w.client.hget(w.keys.messages, '~a')).toBe('100\n"x"')
      expect(await w.client.hget(w.keys.messages, '~b')).toMatch(/^\d{13}\n"x"$/)
      await claim(w)
      expect(await keysIn(w)).toEqual(['claimed_messages', 'lock:~a', 'messages', 'scheduled_messages'])
      expect(await w.client.hget(w.keys.messages, '~a')).toBe('100\n"x"')
    })
  })
}
