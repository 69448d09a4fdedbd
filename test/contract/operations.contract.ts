import { describe, expect, it } from 'vitest'
import type { Step } from '../../src/store/scripts/change.ts'
import { put, redrive, reject } from '../support/acts.ts'
import { checkKeys } from '../support/invariants.ts'
import { scoreOf, stateOf } from '../support/look-ups.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { HOUR_MS, LAST } from '../support/values.ts'

const LEASE_MS = 5_000

const step = (number: number, mark = LAST, operation = 'op'): Step => ({ operation, number, mark })

const begin = (w: ScriptWorld, id: string, { owner = 'one', mostRunning = 2, kept = 3 } = {}) =>
  w.scripts.begin({
    ...{ id, owner, mostRunning, kept, leaseMs: LEASE_MS },
    fields: { action: 'cancel', target: 'all', matched: 7, request: '{}', cursor: 'first' },
  })

type Save = Parameters<ScriptWorld['scripts']['save']>[0]
const save = (w: ScriptWorld, id: string, given: Partial<Save> = {}) =>
  w.scripts.save({
    ...{
      id,
      owner: 'one',
      leaseMs: LEASE_MS,
      state: 'running',
      keptMs: HOUR_MS,
      cursor: 'next',
      fields: { done: 0 },
    },
    ...given,
  })

/** What scripts promise of operations, and of the log of acts. */
export function describeOperations(kind: string, redisUrl: () => string, shard: number): void {
  describe(`operations on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a step', () => {
      it('cancels once, and answers the same when it is repeated', async () => {
        const w = world()
        for (const id of ['a', 'b']) await put(w, id)
        const args = { ids: ['a', 'none'], ifMatch: '', states: ['scheduled'] as const }
        expect(await w.scripts.cancel(w.shard, { ...args, step: step(1) })).toEqual(['cancelled', 'unknown'])
        await put(w, 'a')
        expect(await w.scripts.cancel(w.shard, { ...args, step: step(1) })).toEqual(['cancelled', 'unknown'])
        expect(await stateOf(w, 'a')).toBe('scheduled')
        expect(await w.scripts.cancel(w.shard, { ...args, ids: ['b'], step: step(3) })).toEqual(['cancelled'])
        // Another server has gone on.
        expect(await w.scripts.cancel(w.shard, { ...args, step: step(2) })).toEqual([])
        expect(await w.scripts.cancel(w.shard, { ...args, step: step(1, LAST, 'other') })).toEqual([
          ...['cancelled', 'unknown'],
        ])
        await checkKeys(w)
      })

      it('shifts once, and answers the same when it is repeated', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 1_000 } })
        const args = { ids: ['a'], byMs: 500, latest: LAST }
        const first = await w.scripts.shift(w.shard, { ...args, step: step(1) })
        expect(first).toMatchObject({ processed: 1, shifted: 1 })
        expect(await w.scripts.shift(w.shard, { ...args, step: step(1) })).toEqual(first)
        expect(await scoreOf(w, 'a')).toBe(1_500)
        await w.scripts.shift(w.shard, { ...args, step: step(2) })
        expect(await w.scripts.shift(w.shard, { ...args, step: step(1) })).toMatchObject({
          processed: 0,
          shifted: 0,
        })
        expect(await scoreOf(w, 'a')).toBe(2_000)
      })

      it('redrives once, and answers the same when it is repeated', async () => {
        const w = world()
        await put(w, 'a')
        await reject(w)
        const args = { ids: ['a', 'none'], from: null, everyMs: 0, before: 0 }
        const first = await w.scripts.redrive(w.shard, { ...args, step: step(1) })
        expect(first).toMatchObject({ processed: 2, unknown: ['none'] })
        await reject(w)
        expect(await w.scripts.redrive(w.shard, { ...args, step: step(1) })).toEqual(first)
        expect(await stateOf(w, 'a')).toBe('dead')
        await w.scripts.redrive(w.shard, { ...args, step: step(2) })
        expect(await w.scripts.redrive(w.shard, { ...args, step: step(1) })).toMatchObject({
          processed: 0,
          unknown: [],
        })
      })

      it('leaves out what was created after its operation began', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 1_000 } })
        await put(w, '~00VknCBo0000', { due: { at: 1_000 } })
        const mark = await w.now()
        w.pass(1_000)
        await put(w, 'b', { due: { at: 1_000 } })
        const late = `~${w.shard}zzzzzzz0000`
        await put(w, late, { due: { at: 1_000 } })
        const ids = ['a', 'b', '~00VknCBo0000', late]
        const shifted = await w.scripts.shift(w.shard, { ids, byMs: 500, latest: LAST, step: step(1, mark) })
        expect(shifted).toMatchObject({ processed: 4, shifted: 2, later: 2 })
        expect(await Promise.all(ids.map((id) => scoreOf(w, id)))).toEqual([1_500, 1_000, 1_500, 1_000])
        const args = { ids, ifMatch: '', states: ['scheduled'] as const }
        expect(await w.scripts.cancel(w.shard, { ...args, step: step(2, mark) })).toEqual([
          ...['cancelled', 'version', 'cancelled', 'version'],
        ])
        await checkKeys(w)
      })
    })

    it('shift tells what it could not move, and moves to now what is due later', async () => {
      const w = world()
      const now = await w.now()
      await put(w, 'later', { due: { at: now + HOUR_MS }, options: { notAfter: now + 2 * HOUR_MS } })
      await put(w, 'overdue', { due: { at: 5 } })
      await put(w, 'broken')
      await w.client.hset(w.keys.messages, 'broken', 'x')
      const ids = ['later', 'overdue', 'broken', 'none']
      const reply = await w.scripts.shift(w.shard, { ids, byMs: 'now', latest: LAST, everyMs: 1_000, nth: 2 })
      expect(reply).toMatchObject({ processed: 4, shifted: 2, claimed: 0, unreadable: 1 })
      const due = await scoreOf(w, 'later')
      expect(due - now).toBeGreaterThanOrEqual(2_000)
      expect(due).toBeLessThanOrEqual((await w.now()) + 2_000)
      expect(await scoreOf(w, 'overdue')).toBe(5)
    })

    it('redrive gives new options', async () => {
      const w = world()
      await put(w, 'a', { options: { tags: ['t'] } })
      await reject(w)
      const changes = [['d', 'stream invoices']] as const
      await w.scripts.redrive(w.shard, { ids: ['a'], from: null, everyMs: 0, before: 0, changes })
      const keys = await checkKeys(w)
      expect(keys.set(w.keys.streams)).toEqual(['invoices'])
      expect(await w.client.zcard(w.keys.forStreams)).toBe(1)
      expect((await redrive(w, ['a'])).unknown).toEqual(['a'])
    })

    describe('an operation', () => {
      it('is begun, saved and read', async () => {
        const w = world()
        const before = await w.now()
        const startedAt = await begin(w, 'a')
        expect(startedAt).toBeGreaterThanOrEqual(before)
        expect(await save(w, 'a', { fields: { done: 3, failed: 1, claimed: 1 } })).toBe('saved')
        const stored = {
          ...{ id: 'a', action: 'cancel', target: 'all', state: 'running', startedBy: null, startedAt },
          ...{
            finishedAt: null,
            reason: '',
            matched: 7,
            done: 3,
            failed: 1,
            claimed: 1,
            gone: 0,
            unreadable: 0,
          },
        }
        expect(await w.scripts.operations('a')).toEqual([stored])
        expect(await w.scripts.operations('none')).toEqual([])
        expect(await save(w, 'a', { state: 'done', fields: { done: 6 } })).toBe('saved')
        const [ended] = await w.scripts.operations()
        expect(ended).toMatchObject({ state: 'done', done: 6 })
        expect(ended?.finishedAt).toBeGreaterThanOrEqual(before)
        await checkKeys(w)
      })

      it('is refused while too many run, and the oldest that has ended makes room', async () => {
        const w = world()
        for (const id of ['a', 'b']) {
          expect(await begin(w, id)).toBeDefined()
          w.pass(1)
        }
        expect(await begin(w, 'c')).toBeUndefined()
        expect(await w.scripts.stop('a', HOUR_MS)).toBe('stopped')
        for (const id of ['c', 'd', 'e']) {
          expect(await begin(w, id)).toBeDefined()
          w.pass(1)
          expect(await w.scripts.stop(id, HOUR_MS)).toBe('stopped')
        }
        // "b" runs, and so it stays.
        expect((await w.scripts.operations()).map(({ id }) => id)).toEqual(['e', 'd', 'b'])
      })

      it('is stopped once, and its server learns it when it saves', async () => {
        const w = world()
        await begin(w, 'a')
        expect(await w.scripts.stop('a', HOUR_MS)).toBe('stopped')
        expect(await w.scripts.stop('a', HOUR_MS)).toBe('ended')
        expect(await w.scripts.stop('none', HOUR_MS)).toBe('unknown')
        expect(await save(w, 'a', { fields: { done: 4 } })).toBe('stopped')
        expect(await save(w, 'a', { state: 'done', fields: { done: 5 } })).toBe('stopped')
        expect(await w.scripts.operations('a')).toMatchObject([{ state: 'stopped', done: 5 }])
        w.pass(2 * LEASE_MS)
        expect(await w.scripts.resume('two', LEASE_MS)).toBe('none runs')
      })

      it('is taken over once its lease has ended, and by one server', async () => {
        const w = world()
        await begin(w, 'a')
        expect(await w.scripts.resume('two', LEASE_MS)).toBe('all have servers')
        w.pass(LEASE_MS + 1)
        const taken = await w.scripts.resume('two', LEASE_MS)
        expect(taken).toMatchObject({ id: 'a', request: '{}', cursor: 'first', matched: 7, state: 'running' })
        expect(await w.scripts.resume('three', LEASE_MS)).toBe('all have servers')
        expect(await save(w, 'a', { fields: { done: 9 } })).toBe('lost')
        expect(await save(w, 'a', { owner: 'two', leaseMs: 0 })).toBe('saved')
        expect(await w.scripts.resume('three', LEASE_MS)).toMatchObject({ id: 'a', cursor: 'next', done: 0 })
      })

      it('is taken over when its lease is longer than any: a clock was set back', async () => {
        const w = world()
        w.pass(HOUR_MS)
        await begin(w, 'a')
        w.pass(-HOUR_MS)
        expect(await w.scripts.resume('two', LEASE_MS)).toMatchObject({ id: 'a' })
      })
    })

    it('the log of acts keeps the newest, and answers them first', async () => {
      const w = world()
      expect(await w.scripts.acts()).toEqual([])
      await w.scripts.noteActs(['1 a', '2 b'], 3)
      w.pass(5)
      const before = await w.now()
      await w.scripts.noteActs(['0 c', '4 d'], 3)
      const acts = await w.scripts.acts()
      expect(acts.map(({ act }) => act)).toEqual(['4 d', '0 c', '2 b'])
      expect(acts[0]?.at).toBeGreaterThanOrEqual(before)
      await checkKeys(w)
    })
  })
}
