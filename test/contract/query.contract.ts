import { describe, expect, it } from 'vitest'
import type { Position, State } from '../../src/store/scripts/query.ts'
import type { ListQuery } from '../../src/store/scripts/search.ts'
import { claim, fail, put } from '../support/acts.ts'
import { find, keysIn } from '../support/look-ups.ts'
import { oneOfEach } from '../support/retained.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, FIRST_PAGE, HOUR_MS, ids, LAST } from '../support/values.ts'

/** Looking at messages: one, a page, a range. */
export function describeQueries(kind: string, redisUrl: () => string, shard: number): void {
  describe(`queries on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    /** Every page of a list, and what happens between pages. */
    async function pages(w: ScriptWorld, query: Partial<ListQuery>, between?: (seen: string[]) => unknown) {
      const seen: string[] = []
      let after: Position | null = null
      do {
        const reply = await w.scripts.list(w.shard, { ...FIRST_PAGE, ...query, after })
        seen.push(...reply.rows.map(({ id }) => id))
        after = reply.end
        await between?.(seen)
      } while (after !== null)
      return seen
    }

    describe('find', () => {
      it('finds a message in every state, in the order asked for', async () => {
        const w = world()
        await oneOfEach(w)
        const ids = ['dead', 'nowhere', 'claimed', 'dropped', 'scheduled', 'delivered', 'dead']
        const found = await w.scripts.find(w.shard, ids)
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
        await w.scripts.find(w.shard, ['scheduled', 'dead', 'delivered', 'x'])
        expect([await w.snapshot(), await keysIn(w)]).toEqual(before)
      })
    })

    describe('list', () => {
      it('goes in order of time and id, with all there is to a message', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [
          entry('c', { due: { at: 100 }, options: { tags: ['t'] } }),
          entry('b', { due: { at: 200 } }),
          entry('A', { due: { at: 100 } }),
          entry('B', { due: { at: 99 } }),
        ])
        const { rows, end } = await w.scripts.list(w.shard, FIRST_PAGE)
        expect(rows.map(({ id, score }) => [id, score])).toEqual([
          ['B', '99'],
          ['A', '100'],
          ['c', '100'],
          ['b', '200'],
        ])
        expect(rows[2]?.record).toBe(await w.client.hget(w.keys.messages, 'c'))
        expect(end).toBeNull()
        await fail(w, HOUR_MS)
        const again = await w.scripts.list(w.shard, FIRST_PAGE)
        expect(again.rows.map(({ attemptCounts }) => attemptCounts)).toEqual(['1 0', '1 0', '1 0', '1 0'])
      })

      it('lists every state by its own time', async () => {
        const w = world()
        await oneOfEach(w)
        for (const state of ['scheduled', 'claimed', 'dead', 'delivered', 'dropped'] as const) {
          const { rows } = await w.scripts.list(w.shard, { ...FIRST_PAGE, index: state })
          const found = await find(w, state)
          expect(rows).toEqual([
            {
              ...{ id: state, score: String(found?.score), record: found?.record },
              ...{ attemptCounts: found?.attemptCounts, failures: found?.failures },
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
          const { rows, end } = await w.scripts.list(w.shard, { ...FIRST_PAGE, ...query })
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
        expect(await pages(w, { index, keep: { state: 'scheduled' }, limit: 1 })).toEqual(['~c'])
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
  })
}
