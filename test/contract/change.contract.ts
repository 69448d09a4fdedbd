import { describe, expect, it } from 'vitest'
import type { MessageOptions } from '../../src/domain/message.ts'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { decodeRecord } from '../../src/records/record.ts'
import {
  ANY_STATE,
  type Change,
  cancel,
  claim,
  entry,
  FIRST_PAGE,
  fail,
  find,
  HOUR_MS,
  keysIn,
  LAST,
  LOCK_MS,
  postponed,
  put,
  recordOf,
  reschedule,
  shift,
  tagged,
} from '../support/acts.ts'
import { oneOfEach } from '../support/retained.ts'
import { delivered } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'

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
        expect(await keysIn(w)).toEqual([])
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
        expect(await keysIn(w)).toEqual([])
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
        expect(await w.client.hget(w.keys.messages, '~a')).toBe('901{"v":2}\n"x"')
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

    describe('shift', () => {
      it('moves time, retry and not-after, raises the version, and leaves the rest', async () => {
        const w = world()
        const options: MessageOptions = { tags: ['t'], notAfter: 900, onLate: 'drop' }
        await put(w, 'a', { due: { at: 100 }, options })
        await put(w, '~b', { due: { at: 200 } })
        const before = await recordOf(w, 'a')
        expect(await shift(w, ['a', '~b'], 50)).toEqual({
          processed: 2,
          shifted: 2,
          nextDueInMs: null,
          nextDueLane: '',
        })
        expect(await recordOf(w, 'a')).toEqual({ ...before, dueAt: 150, notAfter: 950, version: 2 })
        expect(await w.client.hget(w.keys.messages, '~b')).toBe('250{"v":2}\n"x"')
        expect(await w.client.zrange(w.keys.scheduled, '0', '-1', 'WITHSCORES')).toEqual([
          ...['a', '150', '~b', '250'],
        ])
        expect(await shift(w, ['~b', 'a'], -120)).toEqual({
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
        const answer = await shift(w, ['claimed', 'dead', 'delivered', 'dropped', 'nowhere'], 50)
        expect(answer).toEqual({ processed: 5, shifted: 0, nextDueInMs: null, nextDueLane: '' })
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
