import { describe, expect, it } from 'vitest'
import { decodeRecord } from '../../src/records/record.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import { cancel, claim, deliver, fail, put, reschedule, shift } from '../support/acts.ts'
import { LOCK_MS } from '../support/claim-all.ts'
import { find, keysIn, recordOf, stateOf } from '../support/look-ups.ts'
import { keeping } from '../support/retained.ts'
import { RETENTION } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'
import { until } from '../support/until.ts'
import { entry, HOUR_MS } from '../support/values.ts'

/** What an id of the client stands for, and for how long. */
export function describeIds(kind: string, redisUrl: () => string, shard: number): void {
  describe(`ids on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a delay', () => {
      it("is reckoned from Redis's clock, and its time is what every answer shows", async () => {
        const w = world()
        w.pass(HOUR_MS)
        const { now, nextDueInMs } = await w.scripts.schedule(w.shard, [entry('a', { due: { inMs: 5_000 } })])
        expect(nextDueInMs).toBe(5_000)
        expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: now + 5_000 })
        expect((await recordOf(w, 'a')).dueAt).toBe(now + 5_000)
        expect((await recordOf(w, 'a')).createdAt).toBe(now)
        const before = await w.now()
        const reply = await reschedule(w, 'a', { due: { inMs: 0 } })
        const after = await w.now()
        if (reply.word !== 'rescheduled') throw new Error(reply.word)
        expect(reply.nextDueInMs).toBe(0)
        expect(reply.found.score).toBeGreaterThanOrEqual(before)
        expect(reply.found.score).toBeLessThanOrEqual(after)
        expect(decodeRecord(reply.found.record).dueAt).toBe(reply.found.score)
      })

      it('makes the message due at once if it is 0', async () => {
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

      it('is stored once if it occurs twice in one call', async () => {
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
        const closing = (id: string, inMs: number) => ({ ...entry(id, { due }), validUntil: now + inMs })
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
  })
}
