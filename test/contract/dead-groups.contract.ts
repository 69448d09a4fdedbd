import { describe, expect, it } from 'vitest'
import type { Position } from '../../src/store/scripts/query.ts'
import type { Grouping } from '../../src/store/scripts/search.ts'
import { put, reject } from '../support/acts.ts'
import { ONE, TWO, toHost } from '../support/lanes.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { HOUR_MS } from '../support/values.ts'

/** What dead letters have in common. */
export function describeDeadGroups(kind: string, redisUrl: () => string, shard: number): void {
  describe(`dead-groups on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    const groups = async (w: ScriptWorld, by: Grouping, limit = 500, after: Position | null = null) => {
      const reply = await w.scripts.deadGroups(w.shard, { by, direction: 'down', after, limit })
      const sorted = [...reply.groups].sort((a, b) => (a.key < b.key ? -1 : 1))
      return { ...reply, groups: sorted }
    }

    async function makeDead(w: ScriptWorld) {
      const reasons = { a: 'status 503', b: 'status 503', c: 'timeout', d: 'status 503', e: 'status 503' }
      const options = {
        ...{ a: { ...toHost(ONE), tags: ['t', 'u'] }, b: { ...toHost(ONE), tags: ['t'] } },
        ...{ c: toHost(TWO), d: {}, e: {} },
      }
      for (const id of ['a', 'b', 'c', 'd', 'e'] as const) {
        await put(w, id, { options: options[id] })
        await reject(w, reasons[id])
        w.pass(1_000)
      }
      const died = await w.client.zrange(w.keys.dead, '0', '-1', 'WITHSCORES')
      return (id: string) => Number(died[died.indexOf(id) + 1])
    }

    it('tells of each group how many, from when to when, and the newest three', async () => {
      const w = world()
      const at = await makeDead(w)
      expect((await groups(w, 'reason')).groups).toEqual([
        { key: 'status 503', count: 4, first: at('a'), last: at('e'), sample: ['e', 'd', 'b'] },
        { key: 'timeout', count: 1, first: at('c'), last: at('c'), sample: ['c'] },
      ])
      expect((await groups(w, 'destination')).groups).toEqual([
        { key: 'console', count: 2, first: at('d'), last: at('e'), sample: ['e', 'd'] },
        { key: `webhook:${ONE}`, count: 2, first: at('a'), last: at('b'), sample: ['b', 'a'] },
        { key: `webhook:${TWO}`, count: 1, first: at('c'), last: at('c'), sample: ['c'] },
      ])
      expect((await groups(w, 'tag')).groups).toEqual([
        { key: 't', count: 2, first: at('a'), last: at('b'), sample: ['b', 'a'] },
        { key: 'u', count: 1, first: at('a'), last: at('a'), sample: ['a'] },
      ])
    })

    it('looks at so many at most, and continues behind them', async () => {
      const w = world()
      await makeDead(w)
      const first = await groups(w, 'reason', 2)
      expect(first).toMatchObject({ looked: 2, end: { id: 'd' }, groups: [{ sample: ['e', 'd'] }] })
      const rest = await groups(w, 'reason', 9, first.end)
      expect(rest).toMatchObject({ looked: 3, end: null, groups: [{ count: 2 }, { count: 1 }] })
    })

    it('has no group where nothing is dead', async () => {
      const w = world()
      await put(w, 'a', { due: { inMs: HOUR_MS } })
      expect(await groups(w, 'reason')).toEqual({ groups: [], end: null, looked: 0 })
    })
  })
}
