import { describe, expect, it } from 'vitest'
import {
  decodeHistoryEntry,
  decodeRecord,
  fingerprintOf,
  type MessageOptions,
} from '../../src/domain/message.ts'
import type { Retention } from '../../src/store/define-script.ts'
import { serversKeyOf } from '../../src/store/keys.ts'
import {
  type ListQuery,
  type Position,
  SERVER_GONE_AFTER_MS,
  type State,
} from '../../src/store/scripts/message-scripts.ts'
import type { ScheduleEntry } from '../../src/store/scripts/scripts.ts'
import {
  ANY_STATE,
  type Change,
  cancel,
  claim,
  deliver,
  entry,
  fail,
  find,
  HOUR_MS,
  ids,
  keysIn,
  LAST,
  LOCK_MS,
  postponed,
  put,
  recordOf,
  reschedule,
  returned,
  shift,
  stateOf,
  tagged,
} from '../support/acts.ts'
import { delivered, RETENTION, SETTINGS } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { until } from '../support/until.ts'

/** Puts a message, whose id says so, into each state there is. */
async function oneOfEach(w: ScriptWorld): Promise<void> {
  await put(w, 'delivered')
  await deliver(w)
  const now = await w.now()
  for (const [id, onLate] of [
    ['dropped', 'drop'],
    ['dead', 'dead-letter'],
  ] as const) {
    await put(w, id, { due: { at: now - 10_000 }, options: { notAfter: now - 10_000, onLate } })
  }
  await claim(w)
  await put(w, 'claimed')
  await claim(w)
  await put(w, 'scheduled', { due: { at: now + HOUR_MS } })
}

const keeping = (retention: Partial<Retention>) => ({
  ...SETTINGS,
  retention: { ...RETENTION, ...retention },
})

/** What the scripts that look at messages and change them promise, on any kind of Redis. */
export function describeMessageScripts(kind: string, redisUrl: () => string, shard: number): void {
  describe(`message scripts on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a delay', () => {
      it("is reckoned from Redis's clock, and its time is what every answer shows", async () => {
        const w = world()
        w.pass(HOUR_MS)
        const { now, headInMs } = await w.scripts.schedule(w.shard, [entry('a', { due: { inMs: 5_000 } })])
        expect(headInMs).toBe(5_000)
        expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: now + 5_000 })
        expect((await recordOf(w, 'a')).dueAt).toBe(now + 5_000)
        expect((await recordOf(w, 'a')).createdAt).toBe(now)
        const before = await w.now()
        const reply = await reschedule(w, 'a', { due: { inMs: 0 } })
        const after = await w.now()
        if (reply.word !== 'rescheduled') throw new Error(reply.word)
        expect(reply.headInMs).toBe(0)
        expect(reply.found.score).toBeGreaterThanOrEqual(before)
        expect(reply.found.score).toBeLessThanOrEqual(after)
        expect(decodeRecord(reply.found.record).dueAt).toBe(reply.found.score)
      })

      it('of 0 is due at once', async () => {
        const w = world()
        await put(w, 'a', { due: { inMs: 0 } })
        expect((await claim(w)).ids).toEqual(['a'])
      })
    })

    describe("a client's id", () => {
      const due = { inMs: HOUR_MS }

      it('is a duplicate with the same content and a conflict with other, and nothing moves', async () => {
        const w = world()
        expect(await put(w, 'a', { due })).toBe('scheduled')
        const before = await w.snapshot()
        expect(await put(w, 'a', { due })).toBe('duplicate')
        expect(await put(w, 'a', { due, payload: 'y' })).toBe('conflict')
        expect(await put(w, 'a', { due: { inMs: HOUR_MS + 1 } })).toBe('conflict')
        expect(await put(w, 'a', { due, options: { tags: ['t'] } })).toBe('conflict')
        expect(await w.snapshot()).toBe(before)
      })

      it('is compared with what was accepted first, whatever it was changed to', async () => {
        const w = world()
        await put(w, 'a', { due })
        await reschedule(w, 'a', { due: { at: 7 }, payload: 'y', options: { tags: ['t'] } })
        await shift(w, ['a'], 5)
        expect(await put(w, 'a', { due })).toBe('duplicate')
        expect(await put(w, 'a', { due: { at: 7 }, payload: 'y', options: { tags: ['t'] } })).toBe('conflict')
      })

      it('twice in one call is stored once', async () => {
        const w = world()
        const { words } = await w.scripts.schedule(w.shard, [
          entry('a', { due }),
          entry('a', { due }),
          entry('a', { due, payload: 'y' }),
        ])
        expect(words).toEqual(['scheduled', 'duplicate', 'conflict'])
        expect(await w.client.zcard(w.keys.scheduled)).toBe(1)
      })

      it('is not stored from the time on from which it may belong in another shard', async () => {
        const w = world()
        const now = await w.now()
        const closing = (id: string, inMs: number) => ({ ...entry(id, { due }), closesAt: now + inMs })
        const schedule = async (...entries: ScheduleEntry[]) =>
          (await w.scripts.schedule(w.shard, entries)).words
        expect(await schedule(closing('a', HOUR_MS), closing('b', 0), entry('c', { due }))).toEqual([
          ...['scheduled', 'moved', 'scheduled'],
        ])
        w.pass(HOUR_MS)
        const before = await w.snapshot()
        expect(await schedule(closing('a', HOUR_MS), closing('d', HOUR_MS))).toEqual(['duplicate', 'moved'])
        expect(await w.snapshot()).toBe(before)
        expect(await keysIn(w)).not.toContain('seen:d')
      })

      it('is known while claimed, waiting for a retry, or dead', async () => {
        const w = world()
        await put(w, 'a')
        await claim(w)
        expect(await put(w, 'a')).toBe('duplicate')
        w.pass(LOCK_MS + 1)
        await fail(w, HOUR_MS)
        expect(await put(w, 'a')).toBe('duplicate')
        const late = { options: { notAfter: 1, onLate: 'dead-letter' } } as const
        await put(w, 'b', late)
        await claim(w)
        expect(await stateOf(w, 'b')).toBe('dead')
        expect(await put(w, 'b', late)).toBe('duplicate')
        expect(await put(w, 'b')).toBe('conflict')
      })

      it('is free again as soon as it is cancelled, from any state', async () => {
        const w = world()
        await put(w, 'a', { due })
        expect(await cancel(w, 'a')).toBe('cancelled')
        expect(await put(w, 'a', { due, payload: 'y' })).toBe('scheduled')
        expect(await recordOf(w, 'a')).toMatchObject({ payload: '"y"', version: 1 })
        await put(w, 'b', { options: { notAfter: 1, onLate: 'dead-letter' } })
        await claim(w)
        expect(await cancel(w, 'b')).toBe('cancelled')
        expect(await put(w, 'b', { due, payload: 'y' })).toBe('scheduled')
      })

      it('stays known after delivery and after a drop for the window, as one small key', async () => {
        const w = world()
        await put(w, 'a')
        const late = { options: { notAfter: 1, onLate: 'drop' } } as const
        await put(w, 'b', late)
        await put(w, '~c')
        await deliver(w)
        expect(await put(w, 'a')).toBe('duplicate')
        expect(await put(w, 'a', { payload: 'y' })).toBe('conflict')
        expect(await put(w, 'b', late)).toBe('duplicate')
        expect(await put(w, 'b')).toBe('conflict')
        expect((await keysIn(w)).filter((key) => key.startsWith('seen:'))).toEqual(['seen:a', 'seen:b'])
        for (const [id, status] of [
          ['a', 'delivered'],
          ['b', 'dropped'],
        ]) {
          expect(await w.client.get(w.keys.seenPrefix + id)).toMatch(new RegExp(`^${status} [\\w-]{22}$`))
          const left = await w.client.pttl(w.keys.seenPrefix + id)
          expect(left).toBeLessThanOrEqual(RETENTION.dedupWindowMs)
          expect(left).toBeGreaterThan(RETENTION.dedupWindowMs - 60_000)
        }
      })
    })

    describe("a client's id behind its window", () => {
      const short = useScripts(redisUrl, shard, keeping({ dedupWindowMs: 40 }))

      it('is new, and replaces what the history shows', async () => {
        const w = short()
        await put(w, 'a')
        await put(w, 'b', { options: { notAfter: 1, onLate: 'drop' } })
        await deliver(w)
        await until(
          'the window is over',
          async () => !(await keysIn(w)).some((key) => key.startsWith('seen')),
        )
        expect([await stateOf(w, 'a'), await stateOf(w, 'b')]).toEqual(['delivered', 'dropped'])
        expect(await put(w, 'a', { due: { inMs: HOUR_MS }, payload: 'y' })).toBe('scheduled')
        expect(await put(w, 'b', { due: { inMs: HOUR_MS }, payload: 'y' })).toBe('scheduled')
        expect([await stateOf(w, 'a'), await stateOf(w, 'b')]).toEqual(['scheduled', 'scheduled'])
        expect(await keysIn(w)).toEqual(['messages', 'scheduled_messages'])
      })
    })

    describe('without history', () => {
      const bare = useScripts(redisUrl, shard, keeping({ historyMax: 0 }))
      const agelessBare = useScripts(redisUrl, shard, keeping({ historyTtlMs: 0 }))

      for (const [bound, make] of [
        ['HISTORY_MAX', bare],
        ['HISTORY_TTL_MS', agelessBare],
      ] as const) {
        it(`(${bound} 0) finished messages leave no key, and a client's id only its own`, async () => {
          const w = make()
          await put(w, '~a')
          await put(w, '~b', { options: { tags: ['t'], notAfter: 1, onLate: 'drop' } })
          await deliver(w)
          expect(await keysIn(w)).toEqual([])
          expect(await stateOf(w, '~a')).toBe('unknown')
          await put(w, 'c')
          await deliver(w)
          expect(await keysIn(w)).toEqual(['seen:c'])
          const fingerprint = fingerprintOf({ at: 1 }, '"x"', {})
          expect(await find(w, 'c')).toEqual({
            id: 'c',
            state: 'delivered',
            score: null,
            record: fingerprint,
            attempts: '',
            failures: '',
          })
          expect(await put(w, 'c')).toBe('duplicate')
          expect(await put(w, 'c', { payload: 'y' })).toBe('conflict')
          expect(await cancel(w, 'c')).toBe('finished')
          expect((await reschedule(w, 'c', { payload: 'y' })).word).toBe('finished')
        })
      }
    })

    describe('without a dedup window', () => {
      const windowless = useScripts(
        redisUrl,
        shard,
        keeping({ historyMax: 0, historyTtlMs: 0, dedupWindowMs: 0 }),
      )

      it('a delivered message is forgotten altogether', async () => {
        const w = windowless()
        await put(w, 'a', { options: { tags: ['t'] } })
        await fail(w, 0)
        await deliver(w)
        expect(await keysIn(w)).toEqual([])
        expect(await put(w, 'a', { payload: 'y' })).toBe('scheduled')
      })
    })

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

      it('of a dead message stay off the index when they are changed', async () => {
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

    describe('not-after', () => {
      const EVERY = 1_500

      for (const [onLate, becomes] of [
        ['deliver', 'claimed'],
        ['drop', 'dropped'],
        ['dead-letter', 'dead'],
        [undefined, 'claimed'],
      ] as const) {
        it(`with ${onLate}: on time up to the very millisecond, then ${becomes}`, async () => {
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
        const reply = await claim(w)
        expect(reply).toMatchObject({ ids: [], recovered: 2, dropped: 1, died: 1 })
        expect(await find(w, 'b')).toMatchObject({ state: 'dead', attempts: '1 1', score: reply.now })
        const dropped = decodeHistoryEntry((await find(w, 'a'))?.record ?? '')
        expect(dropped).toMatchObject({ attempts: '1 1', finishedAt: reply.now, lateMs: reply.now - now })
        expect(await w.client.hgetall(w.keys.attempts)).toEqual({ b: '1 1' })
        expect(await w.lockOf('a')).toBeNull()
      })

      it('before the due time is refused, at it is not, whether the time is given or led to', async () => {
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

    describe('the history', () => {
      it('keeps when, how late, after how many attempts, and the record', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 7 }, options: { tags: ['t'] } })
        await fail(w, 0)
        const record = await w.client.hget(w.keys.messages, 'a')
        const before = await w.now()
        await deliver(w, 1_234)
        const after = await w.now()
        const found = await find(w, 'a')
        expect(found).toMatchObject({ state: 'delivered', attempts: '' })
        const outcome = decodeHistoryEntry(found?.record ?? '')
        expect(outcome).toMatchObject({ lateMs: 1_234, attempts: '1 0', record, finishedAt: found?.score })
        expect(outcome.finishedAt).toBeGreaterThanOrEqual(before)
        expect(outcome.finishedAt).toBeLessThanOrEqual(after)
        expect(await w.client.zscore(w.keys.delivered, 'a')).toBe(String(outcome.finishedAt))
        expect(await w.client.zcard(w.keys.dropped)).toBe(0)
        expect(await w.client.exists(w.keys.attempts, w.keys.messages)).toBe(0)
      })

      it('leaves payloads over 1 KiB out, and only these', async () => {
        const w = world()
        await put(w, 'fits', { payload: 'x'.repeat(1_022) })
        await put(w, 'large', { payload: 'x'.repeat(1_023) })
        await put(w, 'wide', { payload: 'ü'.repeat(600), options: { tags: ['t'] } })
        await deliver(w)
        const kept = async (id: string) =>
          decodeRecord(decodeHistoryEntry((await find(w, id))?.record ?? '').record, 'perhaps')
        expect((await kept('fits')).payload).toHaveLength(1_024)
        expect(await kept('large')).toMatchObject({ payload: '', dueAt: 1 })
        expect(await kept('wide')).toMatchObject({ payload: '', tags: ['t'] })
      })

      it('forgets by age, to the ids found and in what is stored', async () => {
        const w = world()
        await put(w, 'a')
        await put(w, 'b', { options: { notAfter: 1, onLate: 'drop' } })
        await deliver(w)
        w.pass(RETENTION.historyTtlMs - 60_000)
        expect([await stateOf(w, 'a'), await stateOf(w, 'b')]).toEqual(['delivered', 'dropped'])
        await claim(w)
        expect(await w.client.hlen(w.keys.history)).toBe(2)
        w.pass(60_000)
        // Behind its age it is no more, stored or not: what is left is that the ids are known.
        expect(await find(w, 'a')).toMatchObject({ state: 'delivered', score: null })
        await claim(w)
        expect((await keysIn(w)).sort()).toEqual(['seen:a', 'seen:b'])
      })
    })

    describe('the history, bounded by count', () => {
      const MAX = 20
      const few = useScripts(redisUrl, shard, keeping({ historyMax: MAX, historyTtlMs: HOUR_MS }))

      const sizes = async (w: ScriptWorld) => ({
        entries: await w.client.hlen(w.keys.history),
        delivered: await w.client.zcard(w.keys.delivered),
        dropped: await w.client.zcard(w.keys.dropped),
      })
      const putMany = (w: ScriptWorld, kind: string, count: number, options: MessageOptions = {}) =>
        w.scripts.schedule(
          w.shard,
          Array.from({ length: count }, (_, i) => entry(`~${kind}${i}`, { options })),
        )

      it('keeps the newest, delivered or dropped', async () => {
        const w = few()
        const late = { notAfter: 1, onLate: 'drop' } as const
        await putMany(w, 'first', MAX)
        await deliver(w)
        w.pass(1_000)
        await putMany(w, 'second', 5, late)
        await deliver(w)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: MAX - 5, dropped: 5 })
        w.pass(1_000)
        await putMany(w, 'third', MAX - 2)
        await deliver(w)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: MAX - 2, dropped: 2 })
        w.pass(1_000)
        await putMany(w, 'fourth', MAX, late)
        await deliver(w)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: 0, dropped: MAX })
        expect(await stateOf(w, '~fourth0')).toBe('dropped')
      })

      it('is not emptied by what its age has ended', async () => {
        const w = few()
        await putMany(w, 'old', MAX)
        await deliver(w)
        w.pass(HOUR_MS)
        await putMany(w, 'new', 15)
        await deliver(w)
        expect(await sizes(w)).toEqual({ entries: 15, delivered: 15, dropped: 0 })
        expect(await stateOf(w, '~new0')).toBe('delivered')
      })

      it('holds though more than its bound finish at once, as many as a claim may take', async () => {
        const w = few()
        await putMany(w, 'm', 5_000)
        expect(await deliver(w)).toHaveLength(5_000)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: MAX, dropped: 0 })
        await putMany(w, 'n', 5_000, { notAfter: 1, onLate: 'drop' })
        await deliver(w)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: 0, dropped: MAX })
      })

      it('shrinks when it turns out far larger, a piece with each claim', async () => {
        const w = few()
        const now = await w.now()
        const ids = Array.from({ length: 7_000 }, (_, i) => `~${i}`)
        await w.client.zadd(w.keys.delivered, ...ids.flatMap((id) => [now, id]))
        await w.client.hset(w.keys.history, ...ids.flatMap((id) => [id, `delivered ${now} 0 0 0\n1\n`]))
        await claim(w)
        const { entries, delivered } = await sizes(w)
        expect(entries).toBe(delivered)
        expect(entries).toBeLessThan(2_000)
        await claim(w)
        expect(await sizes(w)).toEqual({ entries: MAX, delivered: MAX, dropped: 0 })
      })
    })

    describe('find', () => {
      it('finds a message in every state, in the order asked for', async () => {
        const w = world()
        await oneOfEach(w)
        const ids = ['dead', 'nowhere', 'claimed', 'dropped', 'scheduled', 'delivered', 'dead']
        const found = await w.messageScripts.find(w.shard, ids)
        expect(found.map((one) => one?.state)).toEqual(ids.map((id) => (id === 'nowhere' ? undefined : id)))
        expect(found.map((one) => one?.id)).toEqual(ids.map((id) => (id === 'nowhere' ? undefined : id)))
        const score = async (key: string, id: string) => Number(await w.client.zscore(key, id))
        const scores: [State, string][] = [
          ['scheduled', w.keys.scheduled],
          ['claimed', w.keys.claimed],
          ['dead', w.keys.dead],
          ['delivered', w.keys.delivered],
          ['dropped', w.keys.dropped],
        ]
        for (const [id, key] of scores) expect((await find(w, id))?.score).toBe(await score(key, id))
        for (const id of ['scheduled', 'claimed', 'dead']) {
          expect((await find(w, id))?.record).toBe(await w.client.hget(w.keys.messages, id))
        }
      })

      it('writes nothing', async () => {
        const w = world()
        await oneOfEach(w)
        const before = [await w.snapshot(), await keysIn(w)]
        await w.messageScripts.find(w.shard, ['scheduled', 'dead', 'delivered', 'x'])
        expect([await w.snapshot(), await keysIn(w)]).toEqual(before)
      })
    })

    describe('cancel', () => {
      it('says what is the case in every state, and refuses for the first reason there is', async () => {
        const w = world()
        await oneOfEach(w)
        const before = await w.snapshot()
        const ids = ['nowhere', 'claimed', 'delivered', 'dropped']
        const words = (ifMatch: string, states: readonly ('scheduled' | 'dead')[]) =>
          w.messageScripts.cancel(w.shard, { ids: [...ids, 'dead', 'scheduled'], ifMatch, states })
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
          const words = await w.messageScripts.cancel(w.shard, {
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
        const pointless = { due: { at: LAST }, options: { notAfter: undefined, onLate: 'drop' } } as const
        const word = async (id: string, ifMatch: string) =>
          (await reschedule(w, id, { ...pointless, ifMatch })).word
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
        expect(await word('scheduled', '3,1')).toBe('pointless')
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
        const stored = { dueAt: 100, payload: '"x"', version: 1, createdAt, fingerprint, ...options }
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
            attempts: '',
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
        expect((await reschedule(w, '~a', { options: { notAfter: undefined } })).word).toBe('pointless')
        expect((await reschedule(w, '~a', { due: { at: 901 } })).word).toBe('expired')
        expect((await reschedule(w, '~a', { options: { notAfter: 99 } })).word).toBe('expired')
        const gone = { notAfter: undefined, onLate: undefined, retry: undefined }
        expect((await reschedule(w, '~a', { due: { at: 901 }, options: gone })).word).toBe('rescheduled')
        expect(await w.client.hget(w.keys.messages, '~a')).toBe('901{"v":2}\n"x"')
      })

      it('without a new time leaves one that waits for a retry waiting; with one it is due then', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 } })
        await fail(w, 60_000)
        const retryAt = (await find(w, 'a'))?.score ?? 0
        const reply = await reschedule(w, 'a', { payload: 'y' })
        expect(reply).toMatchObject({ found: { state: 'scheduled', score: retryAt, attempts: '1 0' } })
        expect((await recordOf(w, 'a')).dueAt).toBe(5)
        await reschedule(w, 'a', { due: { at: 6 } })
        expect(await find(w, 'a')).toMatchObject({ score: 6, attempts: '1 0' })
        expect((await claim(w)).claims).toMatchObject([{ id: 'a', attemptDueAt: 6, failures: 1 }])
      })

      it('leaves a dead message dead, with the time at which it was given up', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { notAfter: 5, onLate: 'dead-letter' } })
        const { now } = await claim(w)
        const reply = await reschedule(w, 'a', { due: { at: 6 }, payload: 'y', options: { notAfter: 7 } })
        expect(reply).toMatchObject({ headInMs: null, found: { state: 'dead', score: now } })
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
          return reply.word === 'rescheduled' ? reply.headInMs : reply.word
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
        expect(await shift(w, ['a', '~b'], 50)).toEqual({ lookedAt: 2, shifted: 2, headInMs: null })
        expect(await recordOf(w, 'a')).toEqual({ ...before, dueAt: 150, notAfter: 950, version: 2 })
        expect(await w.client.hget(w.keys.messages, '~b')).toBe('250{"v":2}\n"x"')
        expect(await w.client.zrange(w.keys.scheduled, '0', '-1', 'WITHSCORES')).toEqual([
          ...['a', '150', '~b', '250'],
        ])
        expect(await shift(w, ['~b', 'a'], -120)).toEqual({ lookedAt: 2, shifted: 2, headInMs: 0 })
        expect(await recordOf(w, 'a')).toMatchObject({ dueAt: 30, notAfter: 830, version: 3 })
        await reschedule(w, 'a', { options: { notAfter: undefined, onLate: undefined } })
        await fail(w, 60_000)
        const retryAt = (await find(w, 'a'))?.score ?? 0
        await shift(w, ['a'], 5_000)
        expect(await find(w, 'a')).toMatchObject({ score: retryAt + 5_000, attempts: '1 0' })
        expect((await recordOf(w, 'a')).dueAt).toBe(5_030)
      })

      it('leaves alone what is not scheduled', async () => {
        const w = world()
        await oneOfEach(w)
        const before = await w.snapshot()
        const answer = await shift(w, ['claimed', 'dead', 'delivered', 'dropped', 'nowhere'], 50)
        expect(answer).toEqual({ lookedAt: 5, shifted: 0, headInMs: null })
        expect(await w.snapshot()).toBe(before)
      })

      it('looks at fewer than all once their records are large, and says at how many', async () => {
        const w = world()
        const ids = Array.from({ length: 12 }, (_, i) => `large${i}`)
        for (const id of ids) await put(w, id, { due: { inMs: HOUR_MS }, payload: 'x'.repeat(1_000_000) })
        const { lookedAt, shifted } = await shift(w, ids, 50)
        expect(lookedAt).toBe(shifted)
        expect(lookedAt).toBeGreaterThan(3)
        expect(lookedAt).toBeLessThan(8)
        const words = await w.messageScripts.cancel(w.shard, { ids, ifMatch: '', states: ['scheduled'] })
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
        const { rows } = await w.messageScripts.list(w.shard, { ...FIRST_PAGE, from: LAST - 1, before: LAST })
        expect(rows.map(({ score }) => score)).toEqual([String(LAST - 1)])
        const forecast = { from: LAST - 2, to: LAST + 1, bucketMs: 1 }
        expect(await w.messageScripts.forecast(w.shard, forecast)).toEqual([0, 1, 0])

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

    const FIRST_PAGE: ListQuery = {
      index: 'scheduled',
      from: null,
      before: null,
      after: null,
      limit: 100,
      bytes: 1e9,
      keep: 'all',
    }

    /** Every page of a list, and what happens between pages. */
    async function pages(w: ScriptWorld, query: Partial<ListQuery>, between?: (seen: string[]) => unknown) {
      const seen: string[] = []
      let after: Position | null = null
      do {
        const reply = await w.messageScripts.list(w.shard, { ...FIRST_PAGE, ...query, after })
        seen.push(...reply.rows.map(({ id }) => id))
        after = reply.end
        await between?.(seen)
      } while (after !== null)
      return seen
    }

    describe('list', () => {
      it('goes in order of time and id, with all there is to a message', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [
          entry('c', { due: { at: 100 }, options: { tags: ['t'] } }),
          entry('b', { due: { at: 200 } }),
          entry('A', { due: { at: 100 } }),
          entry('B', { due: { at: 99 } }),
        ])
        const { rows, end } = await w.messageScripts.list(w.shard, FIRST_PAGE)
        expect(rows.map(({ id, score }) => [id, score])).toEqual([
          ['B', '99'],
          ['A', '100'],
          ['c', '100'],
          ['b', '200'],
        ])
        expect(rows[2]?.record).toBe(await w.client.hget(w.keys.messages, 'c'))
        expect(end).toBeNull()
        await fail(w, HOUR_MS)
        const again = await w.messageScripts.list(w.shard, FIRST_PAGE)
        expect(again.rows.map(({ attempts }) => attempts)).toEqual(['1 0', '1 0', '1 0', '1 0'])
      })

      it('lists every state by its own time', async () => {
        const w = world()
        await oneOfEach(w)
        for (const state of ['scheduled', 'claimed', 'dead', 'delivered', 'dropped'] as const) {
          const { rows } = await w.messageScripts.list(w.shard, { ...FIRST_PAGE, index: state })
          const found = await find(w, state)
          expect(rows).toEqual([
            {
              ...{ id: state, score: String(found?.score), record: found?.record },
              ...{ attempts: found?.attempts, failures: found?.failures },
            },
          ])
        }
      })

      it('has no cursor when nothing is left, a page that is just full included', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ids(6).map((id) => entry(id)),
        )
        const page = async (query: Partial<ListQuery>) => {
          const { rows, end } = await w.messageScripts.list(w.shard, { ...FIRST_PAGE, ...query })
          return [rows.length, end?.id ?? null]
        }
        expect(await page({ limit: 6 })).toEqual([6, null])
        expect(await page({ limit: 5 })).toEqual([5, '~00004'])
        expect(await page({ limit: 5, after: { score: '1', id: '~00004' } })).toEqual([1, null])
        expect(await page({ limit: 5, after: { score: '1', id: '~00005' } })).toEqual([0, null])
        expect(await page({ index: 'dead' })).toEqual([0, null])
      })

      it('takes times from the first, before the last', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [10, 20, 20, 30].map((at, i) => entry(`~${i}`, { due: { at } })),
        )
        const between = (from: number | null, before: number | null) => pages(w, { from, before, limit: 1 })
        expect(await between(20, 30)).toEqual(['~1', '~2'])
        expect(await between(10, 31)).toEqual(['~0', '~1', '~2', '~3'])
        expect(await between(null, 10)).toEqual([])
        expect(await between(31, null)).toEqual([])
        expect(await between(null, 20)).toEqual(['~0'])
        expect(await between(21, null)).toEqual(['~3'])
        expect(await between(30, 10)).toEqual([])
      })

      it('goes on behind members that have vanished, with thousands at one time', async () => {
        const w = world()
        const all = ids(3_000)
        await w.scripts.schedule(
          w.shard,
          all.map((id) => entry(id, { due: { at: 500 } })),
        )
        await w.scripts.schedule(w.shard, [
          entry('~first', { due: { at: 499 } }),
          entry('~last', { due: { at: 501 } }),
        ])
        const gone: string[] = []
        const seen = await pages(w, { limit: 70 }, async (sofar) => {
          // The one the cursor stands on, the next one, and one long past.
          const next = all[all.indexOf(sofar.at(-1) ?? '') + 1]
          const take = [sofar.at(-1) ?? '', next ?? '', sofar.at(-40) ?? '']
          await w.client.zrem(w.keys.scheduled, ...take)
          gone.push(...take)
          await put(w, `~${String(sofar.length).padStart(5, '0')}new`, { due: { at: 500 } })
        })
        const stayed = ['~first', ...all, '~last'].filter((id) => !gone.includes(id))
        expect(new Set(seen).size).toBe(seen.length)
        expect(seen.filter((id) => stayed.includes(id))).toEqual(stayed)
      })

      it('ends a page early once it is large, with one message at least', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ids(10).map((id) => entry(id, { payload: 'x'.repeat(1_000) })),
        )
        const one = (await w.client.hget(w.keys.messages, '~00000'))?.length ?? 0
        const sizes: number[] = []
        let before = 0
        const count = (seen: string[]) => {
          sizes.push(seen.length - before)
          before = seen.length
        }
        expect(await pages(w, { bytes: 3 * one }, count)).toEqual(ids(10))
        expect(sizes).toEqual([3, 3, 3, 1])
        sizes.length = 0
        before = 0
        expect(await pages(w, { bytes: 1 }, count)).toEqual(ids(10))
        expect(sizes).toEqual(ids(10).map(() => 1))
      })

      it('finds by tag the scheduled and the claimed ones, together or apart', async () => {
        const w = world()
        const options = { tags: ['t', 'u'] }
        await w.scripts.schedule(w.shard, [
          entry('~a', { options }),
          entry('~b', { due: { at: 2 }, options: { tags: ['u'] } }),
          entry('~c', { due: { at: LAST }, options }),
          entry('~d', { due: { at: LAST } }),
        ])
        await claim(w)
        const index = { tag: 't' }
        expect(await pages(w, { index, limit: 1 })).toEqual(['~a', '~c'])
        expect(await pages(w, { index, keep: 'scheduled', limit: 1 })).toEqual(['~c'])
        expect(await pages(w, { index: 'claimed', keep: { tag: 't' }, limit: 1 })).toEqual(['~a'])
        expect(await pages(w, { index: 'claimed', keep: { tag: 'u' }, limit: 1 })).toEqual(['~a', '~b'])
        expect(await pages(w, { index: 'claimed', keep: { tag: 'x' }, limit: 1 })).toEqual([])
        expect(await pages(w, { index: { tag: 'none' } })).toEqual([])
      })

      it('writes nothing', async () => {
        const w = world()
        await oneOfEach(w)
        const before = [await w.snapshot(), await keysIn(w)]
        await pages(w, { limit: 1 })
        expect([await w.snapshot(), await keysIn(w)]).toEqual(before)
      })
    })

    describe('range', () => {
      for (const direction of ['up', 'down'] as const) {
        it(`goes ${direction} through a tag, whole and without repeats, while members go`, async () => {
          const w = world()
          // Few times for many messages, and one of them shared by most.
          const all = ids(2_500)
          const at = (i: number) => (i < 300 ? Math.floor(i / 3) : i < 2_300 ? 100 : i)
          await w.scripts.schedule(
            w.shard,
            all.map((id, i) => entry(id, { due: { at: at(i) }, options: { tags: ['t'] } })),
          )
          const inOrder = direction === 'up' ? all : [...all].reverse()
          const seen: string[] = []
          const gone: string[] = []
          let after: Position | null = null
          for (;;) {
            const reply: { ids: string[]; end: Position | null } = await w.messageScripts.range(w.shard, {
              index: { tag: 't' },
              direction,
              after,
              limit: 90,
            })
            expect(reply.ids.length).toBeLessThanOrEqual(90)
            seen.push(...reply.ids)
            if (reply.end === null) break
            after = reply.end
            expect(after.id).toBe(reply.ids.at(-1))
            const behind = inOrder[inOrder.indexOf(after.id) + 1] ?? ''
            const take = seen.length % 180 === 0 ? [after.id, behind] : [behind, reply.ids[0] ?? '']
            await w.client.zrem(`${w.keys.tagPrefix}t`, ...take)
            gone.push(...take)
          }
          const stayed = inOrder.filter((id) => !gone.includes(id))
          expect(new Set(seen).size).toBe(seen.length)
          expect(seen.filter((id) => stayed.includes(id))).toEqual(stayed)
          expect(seen).toEqual(inOrder.filter((id) => seen.includes(id)))
        })
      }

      it("tells Redis's clock, and knows an empty index", async () => {
        const w = world()
        const args = { index: { tag: 'none' }, after: null, limit: 5 }
        for (const direction of ['up', 'down'] as const) {
          const before = await w.now()
          const reply = await w.messageScripts.range(w.shard, { ...args, direction })
          expect(reply).toMatchObject({ ids: [], end: null })
          expect(reply.now).toBeGreaterThanOrEqual(before)
          expect(reply.now).toBeLessThanOrEqual(await w.now())
        }
      })

      it('down, behind the lowest member, is at the end', async () => {
        const w = world()
        await put(w, '~a', { due: { at: 5 }, options: { tags: ['t'] } })
        await put(w, '~b', { due: { at: 5 }, options: { tags: ['t'] } })
        const args = { index: { tag: 't' }, direction: 'down', limit: 5 } as const
        for (const id of ['~a', '~', '']) {
          const reply = await w.messageScripts.range(w.shard, { ...args, after: { score: '5', id } })
          expect(reply.ids).toEqual([])
        }
        const reply = await w.messageScripts.range(w.shard, { ...args, after: { score: '5', id: '~a!' } })
        expect(reply.ids).toEqual(['~a'])
      })
    })

    describe('forecast', () => {
      it('counts what is scheduled, each span with its beginning and without its end', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [99, 100, 109, 110, 129, 130].map((at, i) => entry(`~${i}`, { due: { at } })),
        )
        const args = { from: 100, to: 130, bucketMs: 10 }
        expect(await w.messageScripts.forecast(w.shard, args)).toEqual([2, 1, 1])
        expect(await w.messageScripts.forecast(w.shard, { ...args, to: 129 })).toEqual([2, 1, 0])
        const many = await w.messageScripts.forecast(w.shard, { from: 0, to: 1_000, bucketMs: 1 })
        expect(many).toHaveLength(1_000)
        expect(many.reduce((sum, count) => sum + count, 0)).toBe(6)
        await claim(w, { limit: 2 })
        expect(await w.messageScripts.forecast(w.shard, args)).toEqual([1, 1, 1])
      })
    })

    describe('count', () => {
      it('counts by state, and tells for how long the longest overdue message has been', async () => {
        const w = world()
        expect(await w.messageScripts.count(w.shard)).toEqual({
          ...{ scheduled: 0, claimed: 0, dead: 0, stranded: 0, overdueMs: 0, lateMs: 0 },
        })
        await oneOfEach(w)
        expect(await w.messageScripts.count(w.shard)).toEqual({
          ...{ scheduled: 1, claimed: 1, dead: 1, stranded: 0, overdueMs: 0, lateMs: 0 },
        })
        const from = await w.now()
        await put(w, 'late', { due: { at: from - 5_000 } })
        await put(w, 'later', { due: { at: from - 3_000 } })
        const { scheduled, overdueMs } = await w.messageScripts.count(w.shard)
        expect(scheduled).toBe(3)
        expect(overdueMs).toBeGreaterThanOrEqual(5_000)
        expect(overdueMs).toBeLessThanOrEqual(5_000 + (await w.now()) - from)
      })
    })

    describe('heartbeat', () => {
      it('tells who is alive, and one that leaves is gone at once', async () => {
        const w = world()
        const beat = async (id: string, description: string | null) =>
          (await w.messageScripts.heartbeat({ id, description }, true)).alive
        expect(await beat('a', '{"version":"1"}')).toEqual(new Map([['a', '{"version":"1"}']]))
        expect(await beat('b', 'two\nlines')).toEqual(
          new Map([
            ['a', '{"version":"1"}'],
            ['b', 'two\nlines'],
          ]),
        )
        expect(await beat('a', null)).toEqual(new Map([['b', 'two\nlines']]))
        expect((await w.messageScripts.heartbeat(null, true)).alive).toEqual(new Map([['b', 'two\nlines']]))
      })

      it('tells nobody who does not look, and has heard of it all the same', async () => {
        const w = world()
        await w.messageScripts.heartbeat({ id: 'a', description: 'one' }, true)
        const { alive, now } = await w.messageScripts.heartbeat({ id: 'b', description: 'two' }, false)
        expect(alive).toEqual(new Map())
        expect(now).toBeGreaterThan(0)
        expect([...(await w.messageScripts.heartbeat(null, true)).alive.keys()].sort()).toEqual(['a', 'b'])
      })

      it('forgets, to the millisecond, who was not heard of for too long', async () => {
        const w = world()
        const key = serversKeyOf(w.namespace)
        const before = await w.now()
        const heard = Array.from({ length: 1_500 }, (_, i) => before - SERVER_GONE_AFTER_MS - 100 + i)
        await w.client.hset(key, ...heard.flatMap((at) => [`s${at}`, `${at} x`]))
        const { alive } = await w.messageScripts.heartbeat({ id: 'self', description: 'x' }, true)
        // What it wrote of itself tells the clock that it went by.
        const now = Number((await w.client.hget(key, 'self'))?.split(' ')[0])
        const expected = heard.filter((at) => now - at <= SERVER_GONE_AFTER_MS).map((at) => `s${at}`)
        expect(expected.length).toBeLessThan(heard.length)
        expect(new Set(alive.keys())).toEqual(new Set([...expected, 'self']))
        expect(new Set(await w.client.hkeys(key))).toEqual(new Set(alive.keys()))
        w.pass(60_000)
        expect((await w.messageScripts.heartbeat(null, true)).alive).toEqual(new Map())
        expect(await w.client.exists(key)).toBe(0)
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
