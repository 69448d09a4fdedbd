import fc from 'fast-check'
import { describe, expect, inject, it } from 'vitest'
import { countMatches } from '../../../src/messages/count.ts'
import type { Direction, Filter } from '../../../src/messages/filter.ts'
import { listPage } from '../../../src/messages/listing.ts'
import { createMatches } from '../../../src/messages/matches.ts'
import type { Position } from '../../../src/store/scripts/query.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import { freshCall } from '../../support/fresh-call.ts'
import { checkKeys } from '../../support/invariants.ts'
import { freshNamespace } from '../../support/namespace.ts'
import { clearNamespace } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { shardMapOf } from '../../support/shards.ts'
import { build, filters, isPlainMatch, type Plain, specs } from './filter-scene.ts'

const world = useScripts(() => inject('redisUrl'))
const SHARDS = 3
/** There were fewer once, and messages from then are where they were. */
const shardMap = shardMapOf(SHARDS, [2])

/** What chance might leave out. */
const ALWAYS: readonly (readonly [Filter, Direction, number])[] = [
  [{ late: true }, 'up', 4],
  [{ tag: 'a' }, 'down', 4],
  [{ tag: 'b', destination: 'console' }, 'up', 4],
  [{ idPrefix: 'm1' }, 'up', 1],
  [{ reason: 'status 50', idPrefix: 'm1' }, 'down', 4],
]

/** The same in a namespace of its own, so that one run sees nothing of another. */
function inNewNamespace(w: ScriptWorld): ScriptWorld {
  const namespace = freshNamespace()
  const scripts = createScripts(w.client, { ...SETTINGS, namespace })
  const schedule: ScriptWorld['scripts']['schedule'] = async (shard, entries, call) =>
    scripts.schedule(shard, entries, call ?? freshCall(await w.now()))
  return { ...w, namespace, scripts: { ...scripts, schedule } }
}

const inOrder = (messages: readonly Plain[], direction: Direction): string[] => {
  const sorted = [...messages].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))
  return (direction === 'up' ? sorted : sorted.reverse()).map(({ id }) => id)
}

describe('filters, against a plain array of messages', () => {
  it('agree on what is listed, in which order, and on how many there are', async () => {
    const first = world()
    await fc.assert(
      fc.asyncProperty(specs, fc.infiniteStream(fc.integer()), async (wanted, seeds) => {
        const w = inNewNamespace(first)
        try {
          const now = await w.now()
          const all = await build(w, shardMap, now, wanted)
          const deps = { scripts: w.scripts, shardMap, now: () => now }
          const matches = createMatches(deps)
          const sample = fc.sample(
            fc.tuple(
              filters(
                now,
                all.map(({ id }) => id),
              ),
              fc.constantFrom('up', 'down'),
              fc.constantFrom(1, 4, 50),
            ),
            { numRuns: 40, seed: seeds.next().value },
          )
          for (const [filter, direction, limit] of [...ALWAYS, ...sample]) {
            const expected = all.filter((message) => isPlainMatch(message, filter, now))
            const what = JSON.stringify({ filter, direction, limit })
            expect(await listed(deps, filter, direction, limit), what).toEqual(
              exactFirst(inOrder(expected, direction), filter),
            )
            const counted = { count: expected.length, isAtLeast: false }
            expect(await countMatches({ ...deps, matches }, filter), what).toEqual(counted)
            await expectPager(matches, { filter, direction, limit, expected, all, what })
          }
          for (let shard = 0; shard < SHARDS; shard += 1) await checkKeys(w, shard)
        } finally {
          await clearNamespace(w.client, w.namespace)
        }
      }),
      // What fails is not made smaller: each try takes seconds.
      { numRuns: 2, endOnFailure: true },
    )
  })
})

async function listed(
  deps: Parameters<typeof listPage>[0],
  filter: Filter,
  direction: Direction,
  limit: number,
): Promise<string[]> {
  const ids: string[] = []
  let after: Position | null = null
  do {
    const page = await listPage(deps, { filter, direction, limit, after })
    expect(page.messages.length).toBeLessThanOrEqual(limit)
    expect(page.isPart).toBe(false)
    ids.push(...page.messages.map(({ id }) => id))
    after = page.end
  } while (after !== null)
  return ids
}

const exactFirst = (ids: string[], { idPrefix = '' }: Filter) =>
  ids.includes(idPrefix) ? [idPrefix, ...ids.filter((id) => id !== idPrefix)] : ids

/** What the pager meets in all shards, with the same filter and then with ids in addition, up to what was last. */
async function expectPager(
  matches: ReturnType<typeof createMatches>,
  {
    filter,
    direction,
    limit,
    expected,
    all,
    what,
  }: {
    filter: Filter
    direction: Direction
    limit: number
    expected: readonly Plain[]
    all: readonly Plain[]
    what: string
  },
): Promise<void> {
  const walk = async (each: Filter) => {
    const met: string[] = []
    for (let shard = 0; shard < SHARDS; shard += 1) {
      const until = await matches.last(shard, each, direction)
      let after: Position | null = null
      while (until !== null) {
        const page = await matches.page(shard, each, { after, until, direction, limit })
        expect(page.matches.length).toBeLessThanOrEqual(limit)
        met.push(...page.matches.map(({ id }) => id))
        after = page.end
        if (after === null) break
      }
    }
    return met.sort()
  }
  const ids = expected.map(({ id }) => id).sort()
  expect(await walk(filter), what).toEqual(ids)
  const chosen = all.filter((_, i) => i % 2 === 0).map(({ id }) => id)
  expect(await walk({ ...filter, ids: [...chosen, ...chosen, 'nowhere'] }), what).toEqual(
    ids.filter((id) => chosen.includes(id)),
  )
}
