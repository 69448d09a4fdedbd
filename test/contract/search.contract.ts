import { describe, expect, it } from 'vitest'
import type { Position } from '../../src/store/scripts/query.ts'
import type { Direction, Keep, Search } from '../../src/store/scripts/search.ts'
import { claim, fail, put, reject } from '../support/acts.ts'
import { ONE, TWO, toHost, toQueue } from '../support/lanes.ts'
import { keysIn } from '../support/look-ups.ts'
import { oneOfEach } from '../support/retained.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, FIRST_MATCHES, FIRST_PAGE, ids, LAST } from '../support/values.ts'

const toStream = { destination: { type: 'stream', name: 's' } }

/** Searching in indexes: which match, and how many there are. */
export function describeSearches(kind: string, redisUrl: () => string, shard: number): void {
  describe(`searches on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    /** All that match, call by call. */
    async function all(w: ScriptWorld, more: Partial<Search>): Promise<string[]> {
      const seen: string[] = []
      let after: Position | null = null
      do {
        const reply = await w.scripts.match(w.shard, { ...FIRST_MATCHES, ...more, after })
        seen.push(...reply.matches.map(({ id }) => id))
        after = reply.end
      } while (after !== null)
      return seen
    }

    const scheduleAll = (w: ScriptWorld, drafts: Record<string, Parameters<typeof entry>[1]>) =>
      w.scripts.schedule(
        w.shard,
        Object.entries(drafts).map(([id, draft]) => entry(id, draft)),
      )

    describe('match', () => {
      for (const direction of ['up', 'down'] as const) {
        it(`goes ${direction} through a tag, whole and without repeats, while members go`, async () => {
          const w = world()
          // Few times for many messages, and one of them shared by most.
          const every = ids(2_500)
          const at = (i: number) => (i < 300 ? Math.floor(i / 3) : i < 2_300 ? 100 : i)
          await w.scripts.schedule(
            w.shard,
            every.map((id, i) => entry(id, { due: { at: at(i) }, options: { tags: ['t'] } })),
          )
          const inOrder = direction === 'up' ? every : [...every].reverse()
          const seen: string[] = []
          const gone: string[] = []
          let after: Position | null = null
          do {
            const search: Search = { ...FIRST_MATCHES, index: { tag: 't' }, direction, after, limit: 90 }
            const reply = await w.scripts.match(w.shard, search)
            expect(reply.matches).toHaveLength(reply.looked)
            seen.push(...reply.matches.map(({ id }) => id))
            after = reply.end
            if (after === null) break
            expect(after.id).toBe(seen.at(-1))
            const behind = inOrder[inOrder.indexOf(after.id) + 1] ?? ''
            const take = seen.length % 180 === 0 ? [after.id, behind] : [behind, reply.matches[0]?.id ?? '']
            await w.client.zrem(`${w.keys.tagPrefix}t`, ...take)
            gone.push(...take)
          } while (after !== null)
          const stayed = inOrder.filter((id) => !gone.includes(id))
          expect(new Set(seen).size).toBe(seen.length)
          expect(seen.filter((id) => stayed.includes(id))).toEqual(stayed)
          expect(seen).toEqual(inOrder.filter((id) => seen.includes(id)))
        })
      }

      it('knows an empty index, and that nothing is before the first and behind the last', async () => {
        const w = world()
        await put(w, '~a', { due: { at: 5 }, options: { tags: ['t'] } })
        await put(w, '~b', { due: { at: 5 }, options: { tags: ['t'] } })
        const match = (more: Partial<Search>) => w.scripts.match(w.shard, { ...FIRST_MATCHES, ...more })
        const nothing = { matches: [], end: null, looked: 0 }
        for (const direction of ['up', 'down'] as const)
          expect(await match({ index: { tag: 'none' }, direction })).toEqual(nothing)
        const index = { tag: 't' }
        const down = (id: string) => match({ index, direction: 'down', after: { score: '5', id } })
        for (const id of ['~a', '~', '']) expect(await down(id)).toEqual(nothing)
        expect((await down('~a!')).matches).toEqual([{ score: '5', id: '~a' }])
        expect(await match({ index, after: { score: '5', id: '~b' } })).toEqual(nothing)
      })

      it('looks at so many at most, answers so many at most, and says where to continue', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ids(300).map((id, i) => entry(id, { due: { at: i } })),
        )
        const match = async (more: Partial<Search>) => {
          const { matches, end, looked } = await w.scripts.match(w.shard, { ...FIRST_MATCHES, ...more })
          return [matches.map(({ id }) => id), end?.id ?? null, looked]
        }
        const keep: Keep = { idPrefix: '~0020' }
        expect(await match({ keep, limit: 150 })).toEqual([[], '~00149', 150])
        expect(await match({ keep, limit: 203 })).toEqual([['~00200', '~00201', '~00202'], '~00202', 203])
        expect(await match({ keep, limit: 300, most: 2 })).toEqual([['~00200', '~00201'], '~00201', 202])
        expect(await match({ keep, limit: 300, direction: 'down', most: 1 })).toEqual([
          ['~00209'],
          '~00209',
          91,
        ])
        expect(await match({ limit: 300, most: 300 })).toEqual([ids(300), null, 300])
      })

      it('takes times from the first, before the last, in both directions', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [10, 20, 20, 30].map((at, i) => entry(`~${i}`, { due: { at } })),
        )
        const between = (direction: Direction, from: number | null, before: number | null) =>
          all(w, { direction, from, before, limit: 1 })
        expect(await between('up', 20, 30)).toEqual(['~1', '~2'])
        expect(await between('down', 20, 30)).toEqual(['~2', '~1'])
        expect(await between('down', null, 20)).toEqual(['~0'])
        expect(await between('down', 21, null)).toEqual(['~3'])
        expect(await between('down', 30, 10)).toEqual([])
      })

      it('chooses by tag, lane, state and the beginning of the id, and by all of them', async () => {
        const w = world()
        const [t, tu] = [{ tags: ['t'] }, { tags: ['t', 'u'] }]
        await scheduleAll(w, {
          'a-1': { options: { ...toHost(ONE), ...t } },
          'a-2': { due: { at: LAST }, options: { ...toHost(ONE), ...tu } },
          'b-1': { due: { at: LAST }, options: { ...toHost(TWO), ...t } },
          'b-2': { due: { at: LAST }, options: { ...toQueue(), ...tu } },
          'c-1': { due: { at: LAST }, options: { ...toStream, ...t } },
          'c-2': { due: { at: LAST }, options: t },
        })
        await claim(w)
        const ofTag = (keep: Keep, tag = 't') => all(w, { index: { tag }, keep, limit: 2 })
        expect(await ofTag({})).toHaveLength(6)
        expect(await ofTag({ state: 'scheduled' })).toEqual(['a-2', 'b-1', 'b-2', 'c-1', 'c-2'])
        expect(await ofTag({ lane: `webhook:${ONE}` })).toEqual(['a-1', 'a-2'])
        expect(await ofTag({ lane: `webhook:${ONE}`, state: 'scheduled' })).toEqual(['a-2'])
        expect(await ofTag({ lane: 'pull:q' })).toEqual(['b-2'])
        expect(await ofTag({ lane: 'stream' })).toEqual(['c-1'])
        expect(await ofTag({ lane: 'console' })).toEqual(['c-2'])
        expect(await ofTag({ tag: 'u' })).toEqual(['a-2', 'b-2'])
        expect(await ofTag({ tag: 'u', idPrefix: 'a' })).toEqual(['a-2'])
        expect(await all(w, { index: 'claimed', keep: { lane: `webhook:${ONE}`, tag: 't' } })).toEqual([
          'a-1',
        ])
        expect(await all(w, { index: { lane: `webhook:${ONE}` }, keep: { tag: 'u' } })).toEqual(['a-2'])
        expect(await all(w, { index: 'laned', keep: { lane: 'pull:q' } })).toEqual(['b-2'])
      })

      it('finds finished messages by the destination in their history entry', async () => {
        const w = world()
        await put(w, 'a', { options: toHost(ONE) })
        await put(w, 'b')
        const { claims, token } = await claim(w)
        await w.scripts.acknowledge(
          w.shard,
          claims.map(({ id }) => ({ id, token, lateMs: 0 })),
        )
        expect(await all(w, { index: 'delivered', keep: { lane: `webhook:${ONE}` } })).toEqual(['a'])
        expect(await all(w, { index: 'delivered', keep: { lane: 'console' } })).toEqual(['b'])
      })

      it('chooses dead letters by their whole reason, and not by how their attempts failed', async () => {
        const w = world()
        await put(w, 'a')
        await fail(w, 0)
        await reject(w, 'status 410')
        await put(w, 'b')
        await reject(w, 'status 4')
        const ofReason = (reason: string) => all(w, { index: 'dead', keep: { reason } })
        expect(await ofReason('status 410')).toEqual(['a'])
        expect(await ofReason('status 4')).toEqual(['b'])
        expect(await ofReason('busy')).toEqual([])
        expect(await ofReason('status')).toEqual([])
      })

      it('writes nothing', async () => {
        const w = world()
        await oneOfEach(w)
        const before = [await w.snapshot(), await keysIn(w)]
        await all(w, { keep: { lane: 'console', tag: 't', idPrefix: 's' } })
        await w.scripts.size(w.shard, { index: 'dead', from: null, before: null })
        await w.scripts.deadGroups(w.shard, { by: 'tag', direction: 'down', after: null, limit: 9 })
        expect([await w.snapshot(), await keysIn(w)]).toEqual(before)
      })
    })

    it('lists go down as they go up, with what matches alone', async () => {
      const w = world()
      await w.scripts.schedule(
        w.shard,
        ids(7).map((id, i) => entry(id, { options: i % 2 === 0 ? { tags: ['t'] } : {} })),
      )
      const search = { ...FIRST_PAGE, direction: 'down', keep: { tag: 't' }, limit: 4 } as const
      const first = await w.scripts.list(w.shard, search)
      expect(first.rows.map(({ id }) => id)).toEqual(['~00006', '~00004'])
      expect(first.rows[0]?.record).toBe(await w.client.hget(w.keys.messages, '~00006'))
      const rest = await w.scripts.list(w.shard, { ...search, after: first.end })
      expect(rest.rows.map(({ id }) => id)).toEqual(['~00002', '~00000'])
      expect(rest.end).toBeNull()
    })

    describe('size', () => {
      const everything = { from: null, before: null }

      it('counts an index within times, from the first, before the last', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [10, 20, 20, 30].map((at, i) => entry(`~${i}`, { due: { at } })),
        )
        const size = (from: number | null, before: number | null) =>
          w.scripts.size(w.shard, { index: 'scheduled', from, before })
        expect([
          await size(null, null),
          await size(20, null),
          await size(null, 20),
          await size(20, 30),
        ]).toEqual([4, 3, 1, 2])
        expect(await w.scripts.size(w.shard, { ...everything, index: { lane: 'pull:none' } })).toBe(0)
      })

      it('leaves the claimed ones of a tag out where only the scheduled ones are asked for', async () => {
        const w = world()
        const options = { tags: ['t'] }
        await scheduleAll(w, {
          ...{ a: { options, due: { at: 5 } }, b: { options, due: { at: 6 } }, c: {} },
          ...{ d: { options, due: { at: LAST } } },
        })
        await claim(w)
        const size = (args: { from?: number; before?: number }) =>
          w.scripts.size(w.shard, { ...everything, ...args, index: { tag: 't' }, state: 'scheduled' })
        expect(await w.scripts.size(w.shard, { ...everything, index: { tag: 't' } })).toBe(3)
        expect(await size({})).toBe(1)
        expect(await size({ from: 6 })).toBe(1)
        expect(await size({ before: 6 })).toBe(0)
      })

      it('does not say where so many are claimed that to look at each would take long', async () => {
        const w = world()
        await put(w, 'a', { due: { at: LAST }, options: { tags: ['t'] } })
        const size = () => w.scripts.size(w.shard, { ...everything, index: { tag: 't' }, state: 'scheduled' })
        const claimed = ids(5_001).flatMap((id) => [LAST, id])
        await w.client.zadd(w.keys.claimed, ...claimed.slice(2))
        expect(await size()).toBe(1)
        await w.client.zadd(w.keys.claimed, ...claimed.slice(0, 2))
        expect(await size()).toBeUndefined()
      })
    })
  })
}
