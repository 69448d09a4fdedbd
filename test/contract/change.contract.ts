import { describe, expect, it } from 'vitest'
import type { MessageOptions } from '../../src/domain/message.ts'
import { type Change, cancel, claim, fail, put, reschedule } from '../support/acts.ts'
import { find, keysIn, recordOf } from '../support/look-ups.ts'
import { oneOfEach } from '../support/retained.ts'
import { useScripts } from '../support/script-world.ts'
import { ANY_STATE, entry, LAST } from '../support/values.ts'

/** Cancelling and rescheduling. */
export function describeChanges(kind: string, redisUrl: () => string, shard: number): void {
  describe(`changes on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('cancel', () => {
      it('says what is the case in every state, and refuses for the first reason there is', async () => {
        const w = world()
        await oneOfEach(w)
        const before = await w.snapshot()
        const ids = ['nowhere', 'claimed', 'delivered', 'dropped']
        const words = (ifMatch: string, states: readonly ('scheduled' | 'dead')[]) =>
          w.scripts.cancel(w.shard, { ids: [...ids, 'dead', 'scheduled'], ifMatch, states })
        const refused = ['unknown', 'claimed', 'finished', 'finished']
        expect(await words('9', ANY_STATE)).toEqual([...refused, 'version', 'version'])
        expect(await words('9', ['scheduled'])).toEqual([...refused, 'other', 'version'])
        expect(await words('9', ['dead'])).toEqual([...refused, 'version', 'other'])
        expect(await w.snapshot()).toBe(before)
        expect(await words('', ['scheduled'])).toEqual([...refused, 'other', 'cancelled'])
        expect(await words('*', ['dead'])).toEqual([...refused, 'cancelled', 'unknown'])
        expect(await w.client.hkeys(w.keys.messages)).toEqual(['claimed'])
        expect(await w.client.exists(w.keys.dead, w.keys.scheduled)).toBe(0)
      })

      it('leaves nothing of the message, and it is not delivered', async () => {
        const w = world()
        await put(w, 'a', { options: { tags: ['t'] } })
        await fail(w, 0)
        expect(await cancel(w, 'a')).toBe('cancelled')
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages'])
        expect((await claim(w)).ids).toEqual([])
        expect(await cancel(w, 'a')).toBe('unknown')
      })

      it('takes whole versions, and lists of them', async () => {
        const w = world()
        await put(w, 'a')
        for (let version = 2; version <= 12; version += 1) await reschedule(w, 'a', { payload: version })
        for (const ifMatch of ['1', '2', '11', '1,2', '120', '112', '0', '12x']) {
          expect([ifMatch, await cancel(w, 'a', ifMatch)]).toEqual([ifMatch, 'version'])
        }
        expect(await cancel(w, 'a', '3,12,4')).toBe('cancelled')
      })

      it('does a part of what is much work, and says how much', async () => {
        const w = world()
        const ids = Array.from({ length: 5_000 }, (_, i) => `~${i}`)
        await w.scripts.schedule(
          w.shard,
          ids.map((id) => entry(id, { options: { tags: ['t'] } })),
        )
        for (let rest = ids; rest.length > 0; ) {
          const words = await w.scripts.cancel(w.shard, {
            ids: rest,
            ifMatch: '',
            states: ['scheduled'],
          })
          expect(new Set(words)).toEqual(new Set(['cancelled']))
          expect(words.length).toBeLessThanOrEqual(500)
          rest = rest.slice(words.length)
        }
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages'])
      })
    })

    describe('reschedule', () => {
      it('says what is the case in every state, and refuses for the first reason there is', async () => {
        const w = world()
        await oneOfEach(w)
        const before = await w.snapshot()
        const withoutNotAfter = {
          due: { at: LAST },
          options: { notAfter: undefined, onLate: 'drop' },
        } as const
        const word = async (id: string, ifMatch: string) =>
          (await reschedule(w, id, { ...withoutNotAfter, ifMatch })).word
        for (const [id, expected] of [
          ['nowhere', 'unknown'],
          ['claimed', 'claimed'],
          ['delivered', 'finished'],
          ['dropped', 'finished'],
          ['dead', 'version'],
          ['scheduled', 'version'],
        ] as const) {
          expect([id, await word(id, '2,3')]).toEqual([id, expected])
        }
        expect(await word('scheduled', '3,1')).toBe('no-not-after')
        expect(
          (await reschedule(w, 'scheduled', { due: { at: 10 }, options: { notAfter: 9 }, ifMatch: '*' }))
            .word,
        ).toBe('expired')
        expect(await w.snapshot()).toBe(before)
      })

      it('changes the time, the payload and the options, each alone, and raises the version', async () => {
        const w = world()
        const options: MessageOptions = { tags: ['t'], retry: { attempts: 3 }, notAfter: 900, onLate: 'drop' }
        await put(w, 'a', { due: { at: 100 }, options })
        const { createdAt, fingerprint } = await recordOf(w, 'a')
        const stored = {
          dueAt: 100,
          payload: '"x"',
          version: 1,
          createdAt,
          fingerprint,
          lane: '',
          ...options,
        }
        expect(await recordOf(w, 'a')).toEqual(stored)
        const steps: [Change, object][] = [
          [{ due: { at: 200 } }, { dueAt: 200 }],
          [{ payload: { b: [1] } }, { payload: '{"b":[1]}' }],
          [{ options: { tags: ['u', 'v'] } }, { tags: ['u', 'v'] }],
          [
            { options: { retry: { factor: 1.5, jitter: 'none' } } },
            { retry: { factor: 1.5, jitter: 'none' } },
          ],
          [{ options: { notAfter: 901 } }, { notAfter: 901 }],
          [{ options: { onLate: 'dead-letter' } }, { onLate: 'dead-letter' }],
          [{}, {}],
        ]
        let expected: Record<string, unknown> = stored
        for (const [i, [change, becomes]] of steps.entries()) {
          const reply = await reschedule(w, 'a', { ...change, ifMatch: String(i + 1) })
          if (reply.word !== 'rescheduled') throw new Error(reply.word)
          expected = { ...expected, ...becomes, version: i + 2 }
          expect(await recordOf(w, 'a')).toEqual(expected)
          expect(await find(w, 'a')).toEqual(reply.found)
          expect(reply.found).toMatchObject({
            id: 'a',
            state: 'scheduled',
            score: expected.dueAt,
            attemptCounts: '',
            failures: '',
          })
        }
      })

      it('removes options, and refuses what would make no sense without them', async () => {
        const w = world()
        await put(w, '~a', {
          due: { at: 100 },
          options: { retry: { attempts: 3 }, notAfter: 900, onLate: 'drop' },
        })
        expect((await reschedule(w, '~a', { options: { notAfter: undefined } })).word).toBe('no-not-after')
        expect((await reschedule(w, '~a', { due: { at: 901 } })).word).toBe('expired')
        expect((await reschedule(w, '~a', { options: { notAfter: 99 } })).word).toBe('expired')
        const gone = { notAfter: undefined, onLate: undefined, retry: undefined }
        expect((await reschedule(w, '~a', { due: { at: 901 }, options: gone })).word).toBe('rescheduled')
        expect(await w.client.hget(w.keys.messages, '~a')).toMatch(/^901\{"h":\["2 \d+"\],"v":2\}\n"x"$/)
      })

      it('leaves a retry waiting unless it gives a new time', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 } })
        await fail(w, 60_000)
        const retryAt = (await find(w, 'a'))?.score ?? 0
        const reply = await reschedule(w, 'a', { payload: 'y' })
        expect(reply).toMatchObject({ found: { state: 'scheduled', score: retryAt, attemptCounts: '1 0' } })
        expect((await recordOf(w, 'a')).dueAt).toBe(5)
        await reschedule(w, 'a', { due: { at: 6 } })
        expect(await find(w, 'a')).toMatchObject({ score: 6, attemptCounts: '1 0' })
        expect((await claim(w)).claims).toMatchObject([{ id: 'a', attemptDueAt: 6, failures: 1 }])
      })

      it('leaves a dead message dead, with the time at which it was given up', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { notAfter: 5, onLate: 'dead-letter' } })
        const { now } = await claim(w)
        const reply = await reschedule(w, 'a', { due: { at: 6 }, payload: 'y', options: { notAfter: 7 } })
        expect(reply).toMatchObject({ nextDueInMs: null, found: { state: 'dead', score: now } })
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: 6, payload: '"y"', notAfter: 7, version: 2 })
        expect(await w.client.exists(w.keys.scheduled)).toBe(0)
        expect((await claim(w)).ids).toEqual([])
      })

      it('says when the message became the next one, and only then', async () => {
        const w = world()
        const now = await w.now()
        await put(w, 'a', { due: { at: now + 60_000 } })
        await put(w, 'b', { due: { at: now + 90_000 } })
        const head = async (id: string, inMs: number) => {
          const reply = await reschedule(w, id, { due: { at: now + inMs } })
          return reply.word === 'rescheduled' ? reply.nextDueInMs : reply.word
        }
        expect(await head('b', 60_000)).toBeNull()
        expect(await head('b', 70_000)).toBeNull()
        const sooner = await head('b', 50_000)
        expect(sooner).toBeLessThanOrEqual(50_000)
        expect(sooner).toBeGreaterThan(30_000)
        expect(await head('a', -1)).toBe(0)
      })
    })
  })
}
