import { describe, expect, it } from 'vitest'
import type { MessageOptions } from '../../src/domain/message.ts'
import { fingerprintOf } from '../../src/records/fingerprint.ts'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { decodeRecord } from '../../src/records/record.ts'
import { cancel, claim, deliver, fail, put, reschedule } from '../support/acts.ts'
import { find, keysIn, stateOf } from '../support/look-ups.ts'
import { keeping } from '../support/retained.ts'
import { RETENTION } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS } from '../support/values.ts'

/** What is remembered of finished messages. */
export function describeHistory(kind: string, redisUrl: () => string, shard: number): void {
  describe(`the history on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

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
            attemptCounts: '',
            failures: '',
          })
          expect(await put(w, 'c')).toBe('duplicate')
          expect(await put(w, 'c', { payload: 'y' })).toBe('conflict')
          expect(await cancel(w, 'c')).toBe('finished')
          expect((await reschedule(w, 'c', { payload: 'y' })).word).toBe('finished')
        })
      }
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
        expect(found).toMatchObject({ state: 'delivered', attemptCounts: '' })
        const outcome = decodeHistoryEntry(found?.record ?? '')
        expect(outcome).toMatchObject({
          lateMs: 1_234,
          attemptCounts: '1 0',
          record,
          finishedAt: found?.score,
        })
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
          decodeRecord(decodeHistoryEntry((await find(w, id))?.record ?? '').record, 'optional')
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
  })
}
