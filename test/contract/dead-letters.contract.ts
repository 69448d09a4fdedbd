import { describe, expect, it } from 'vitest'
import type { Search } from '../../src/store/scripts/search.ts'
import {
  cancel,
  claim,
  deliver,
  fail,
  listen,
  put,
  redrive,
  reject,
  reschedule,
  shift,
} from '../support/acts.ts'
import { workerRoom } from '../support/claim-all.ts'
import { dead, HOST, makeDead } from '../support/dead-letters.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { find, keysIn, recordOf, scoreOf, stateOf, tagged } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, FIRST_MATCHES, HOUR_MS, ids, LAST, pull, webhook } from '../support/values.ts'

const toHost = { destination: webhook(HOST) }
/** What scripts promise of dead letters. */
export function describeDeadLetters(kind: string, redisUrl: () => string, shard: number): void {
  describe(`dead letters on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('redrive', () => {
      it('puts them back where they belong, due now, with all their counts at 0', async () => {
        const w = world()
        const options = { tags: ['t'], retry: { attempts: 2 } }
        await put(w, 'main', { due: { at: 5 }, options })
        await put(w, 'host', { due: { at: 6 }, options: { ...options, ...toHost } })
        await put(w, 'queue', { due: { at: 7 }, options: { ...options, destination: pull('q') } })
        await fail(w, 0)
        await fail(w, 0, workerRoom('q'))
        await reject(w)
        await reject(w, 'released', workerRoom('q'))
        const all = ['queue', 'host', 'main']
        for (const id of all) expect(await find(w, id)).toMatchObject({ state: 'dead', attemptCounts: '2 0' })
        expect(await tagged(w, 't')).toEqual([])
        const before = await w.now()
        const reply = await redrive(w, all)
        expect(reply).toMatchObject({ processed: 3, unknown: [], nextDueInMs: 0 })
        expect(reply.from).toBeGreaterThanOrEqual(before)
        expect(reply.from).toBeLessThanOrEqual(await w.now())
        for (const id of all) {
          expect(await find(w, id)).toMatchObject({
            state: 'scheduled',
            score: reply.from,
            attemptCounts: '',
          })
        }
        const from = String(reply.from)
        expect(await tagged(w, 't')).toEqual(['host', from, 'main', from, 'queue', from])
        const keys = await checkKeys(w)
        expect(keys.behind(`${w.keys.scheduled}:`)).toEqual(['pull:q', `webhook:${HOST}`])
        expect((await recordOf(w, 'main')).dueAt).toBe(5)
        // A full set of attempts again, and what went wrong last is still known.
        expect((await find(w, 'main'))?.failures).toMatch(/^status 404\n/)
        await fail(w, 0)
        expect(await stateOf(w, 'main')).toBe('scheduled')
        expect((await claim(w, workerRoom('q'))).claims).toMatchObject([
          { id: 'queue', failures: 0, recoveries: 0, number: 9, attemptDueAt: reply.from },
        ])
      })

      it('spreads them in time, going on where the last call was', async () => {
        const w = world()
        await makeDead(w, 'a', 'b', 'c', 'd', 'e')
        const first = await redrive(w, ['a', 'b'], { everyMs: 333.4 })
        const { from } = first
        expect([await scoreOf(w, 'a'), await scoreOf(w, 'b')]).toEqual([from, from + 333])
        const second = await redrive(w, ['c', 'nowhere', 'd'], { everyMs: 333.4, from, before: 2 })
        expect(second).toMatchObject({ from, unknown: ['nowhere'], processed: 3, nextDueInMs: null })
        expect([await scoreOf(w, 'c'), await scoreOf(w, 'd')]).toEqual([from + 666, from + 1_000])
        const late = await redrive(w, ['e'], { from: LAST - 5, everyMs: 10, before: 3 })
        expect(late.from).toBe(LAST - 5)
        expect(await scoreOf(w, 'e')).toBe(LAST)
        await checkKeys(w)
      })

      it('is never before the own time of one that was put off', async () => {
        const w = world()
        await makeDead(w, 'a', 'b')
        const later = (await w.now()) + HOUR_MS
        await reschedule(w, 'a', { due: { at: later } })
        const { nextDueInMs } = await redrive(w, ['a'])
        expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', score: later })
        expect(nextDueInMs).toBeGreaterThan(HOUR_MS - 60_000)
        await redrive(w, ['b'], { from: 5 })
        expect(await scoreOf(w, 'b')).toBe(5)
      })

      it('names the ids that are none, in whatever state they are, and touches no other', async () => {
        const w = world()
        await makeDead(w, 'dead')
        await put(w, 'delivered')
        await deliver(w)
        await put(w, 'claimed')
        await claim(w)
        await put(w, 'scheduled', { due: { inMs: HOUR_MS } })
        const asked = ['claimed', 'delivered', 'scheduled', 'nowhere']
        const { text } = await dump(w)
        const reply = await redrive(w, asked)
        expect(reply).toMatchObject({ processed: 4, unknown: asked, nextDueInMs: null })
        expect((await dump(w)).text).toBe(text)
        expect((await redrive(w, [])).processed).toBe(0)
      })

      it('looks at fewer than all once their records are large, and says at how many', async () => {
        const w = world()
        const all = ids(12, 'large')
        for (const id of all) await put(w, id, { payload: 'x'.repeat(1_000_000) })
        while ((await reject(w)).ids.length > 0);
        const { processed, unknown, from } = await redrive(w, all, { everyMs: 5 })
        expect(unknown).toEqual([])
        expect(processed).toBeGreaterThan(3)
        expect(processed).toBeLessThan(8)
        expect(await dead(w)).toEqual(all.slice(processed))
        expect(await scoreOf(w, all[processed - 1] ?? '')).toBe(from + 5 * (processed - 1))
      })

      it('does a part of what is much work, and says how much', async () => {
        const w = world()
        const all = ids(5_000)
        const now = await w.now()
        await w.scripts.schedule(
          w.shard,
          all.map((id) => entry(id, { options: { ...toHost, notAfter: 1, onLate: 'dead-letter' } })),
        )
        expect(await claim(w)).toMatchObject({ died: 5_000 })
        for (let rest = all; rest.length > 0; ) {
          const { processed } = await redrive(w, rest, { from: now })
          expect(processed).toBeGreaterThan(0)
          expect(processed).toBeLessThanOrEqual(500)
          rest = rest.slice(processed)
        }
        await checkKeys(w)
        expect(await w.client.zcard(w.keys.laned)).toBe(5_000)
      })

      it('publishes for the first message of each lane, and says when servers have to wake', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        await put(w, 'main', { due: { at: 5 } })
        await put(w, 'host', { options: toHost })
        await put(w, 'queue', { options: { destination: pull('q') } })
        await reject(w)
        await reject(w, 'x', workerRoom('q'))
        await heard()
        expect((await redrive(w, ['queue'])).nextDueInMs).toBeNull()
        expect(await heard()).toEqual(['0 pull:q'])
        await put(w, 'sooner', { due: { at: 1 } })
        await heard()
        const now = await w.now()
        expect((await redrive(w, ['main', 'host'], { from: now + 50_000 })).nextDueInMs).toBeGreaterThan(
          40_000,
        )
        expect(await heard()).toEqual([
          expect.stringMatching(new RegExp(`^(4\\d{4}|50000) webhook:${HOST}$`)),
        ])
        stop()
      })
    })

    describe('cancel', () => {
      it('deletes dead ones where it is said so, and nothing of them is left', async () => {
        const w = world()
        await put(w, 'dead', { options: { tags: ['t'], ...toHost } })
        await fail(w, 0)
        await reject(w)
        await put(w, 'waiting', { options: { tags: ['t'], ...toHost } })
        const words = (states: ('scheduled' | 'dead')[]) =>
          w.scripts.cancel(w.shard, { ids: ['dead', 'waiting', 'nowhere'], ifMatch: '', states })
        expect(await words(['dead'])).toEqual(['cancelled', 'other', 'unknown'])
        await checkKeys(w)
        expect(await words(['scheduled'])).toEqual(['unknown', 'cancelled', 'unknown'])
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages'])
      })

      it('takes from a lane, whose next message is then the first', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: toHost })
        await put(w, 'b', { due: { at: 7 }, options: toHost })
        await put(w, 'q', { due: { at: 5 }, options: { destination: pull('q') } })
        expect(await cancel(w, 'a')).toBe('cancelled')
        expect([...(await checkKeys(w)).map(w.keys.hosts).values()]).toEqual(['7'])
        expect(await cancel(w, 'q')).toBe('cancelled')
        expect(await cancel(w, 'b')).toBe('cancelled')
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages'])
      })
    })

    describe('a dead letter', () => {
      it('stays dead when it is changed, and goes where it was changed to', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 5 }, options: { tags: ['t'], ...toHost } })
        await reject(w, 'status 404')
        const before = await find(w, 'a')
        const reply = await reschedule(w, 'a', { options: { destination: webhook('http://right.test') } })
        expect(reply).toMatchObject({
          nextDueInMs: null,
          found: { state: 'dead', score: before?.score, attemptCounts: '1 0', failures: before?.failures },
        })
        await reschedule(w, 'a', { options: { tags: ['new'] } })
        await shift(w, ['a'], 5)
        expect(await recordOf(w, 'a')).toMatchObject({ version: 3, tags: ['new'], dueAt: 5 })
        await checkKeys(w)
        w.pass(HOUR_MS)
        expect((await claim(w)).ids).toEqual([])
        await redrive(w, ['a'])
        const all = await checkKeys(w)
        expect(all.behind(`${w.keys.scheduled}:`)).toEqual(['webhook:http://right.test'])
        expect(all.behind(w.keys.tagPrefix)).toEqual(['new'])
        expect(await deliver(w)).toEqual(['a'])
        expect(await keysIn(w)).toEqual(['delivered_messages', 'history', 'seen:a'])
      })

      it('is gone through from the oldest to the newest, and the other way', async () => {
        const w = world()
        await makeDead(w, 'c', 'a', 'b')
        const matches = async (more: Partial<Search>) => {
          const search = { ...FIRST_MATCHES, index: 'dead', limit: 2, ...more } as const
          const { matches, end } = await w.scripts.match(w.shard, search)
          return { ids: matches.map(({ id }) => id), end }
        }
        const up = await matches({ direction: 'up' })
        expect(up.ids).toEqual(['c', 'a'])
        expect((await matches({ direction: 'up', after: up.end })).ids).toEqual(['b'])
        expect((await matches({ direction: 'down' })).ids).toEqual(['b', 'a'])
      })
    })
  })
}
