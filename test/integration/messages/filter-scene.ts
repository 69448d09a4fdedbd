import fc from 'fast-check'
import type { Destination } from '../../../src/domain/message.ts'
import { type Filter, problemOf, statusOf } from '../../../src/messages/filter.ts'
import type { ShardMap } from '../../../src/shards/shard-map.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { ListedState } from '../../../src/store/scripts/query.ts'
import { claim } from '../../support/acts.ts'
import { LOCK_MS } from '../../support/claim-all.ts'
import type { ScriptWorld } from '../../support/script-world.ts'
import { entry, HOUR_MS, postponed, pull, rejected, webhook } from '../../support/values.ts'

/** A message as a test wants it, and as the plain filter reads it. */
export interface Plain {
  readonly id: string
  readonly status: ListedState
  readonly tags: readonly string[]
  /** the name of its lane */
  readonly destination: string
  readonly reason: string | null
  readonly at: number
}

const DESTINATIONS: Readonly<Record<string, Destination>> = {
  console: { type: 'console' },
  'webhook:https://one.test': webhook('https://ONE.test:443', '/a'),
  'webhook:https://two.test': webhook('https://two.test', '/b'),
  stream: { type: 'stream', name: 's' },
  'pull:q': pull('q'),
}
const REASONS = ['status 503', 'status 50', 'timeout']
const TAGS = ['a', 'b']
const ENDS = ['delivered', 'dropped', 'dead', 'retry', 'claimed', 'scheduled'] as const
type End = (typeof ENDS)[number]
/** Overdue, due at this very millisecond, and later. */
const STEPS = [-2_000, -1_000, 0, 1_000, 2_000]

interface Spec {
  readonly end: End
  readonly tags: readonly string[]
  readonly destination: string
  readonly reason: string
  readonly step: number
  /** in the oldest of the shards that it may be in */
  readonly old: boolean
}

export const specs: fc.Arbitrary<Spec[]> = fc.array(
  fc.record({
    end: fc.constantFrom(...ENDS),
    tags: fc.subarray(TAGS),
    destination: fc.constantFrom(...Object.keys(DESTINATIONS)),
    reason: fc.constantFrom(...REASONS),
    step: fc.constantFrom(...STEPS),
    old: fc.boolean(),
  }),
  { minLength: 60, maxLength: 100, size: 'max' },
)

const maybe = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 })

/** Filters that can be had; times count from the scene's. */
export const filters = (now: number, ids: readonly string[]): fc.Arbitrary<Filter> =>
  fc
    .record({
      status: maybe<ListedState>('scheduled', 'claimed', 'dead', 'delivered', 'dropped'),
      tag: maybe('a', 'b', 'none'),
      destination: maybe(...Object.keys(DESTINATIONS), 'pull:none'),
      reason: fc.option(fc.constantFrom(...REASONS, 'none'), { nil: undefined, freq: 1 }),
      idPrefix: fc.option(fc.constantFrom('m', 'm1', 'm12', ...ids.slice(0, 5), 'x'), {
        nil: undefined,
        freq: 1,
      }),
      from: maybe(now - 1_000, now, now + 1),
      to: maybe(now, now + 1_000, now + 2 * HOUR_MS),
      late: fc.option(fc.constant(true), { nil: undefined, freq: 1 }),
    })
    .map(
      (fields) =>
        Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Filter,
    )
    .filter((filter) => problemOf(filter) === undefined)

/** What a filter means, said without any index. */
export const isPlainMatch = (message: Plain, filter: Filter, now: number): boolean =>
  message.status === statusOf(filter) &&
  (filter.tag === undefined || message.tags.includes(filter.tag)) &&
  (filter.destination === undefined || message.destination === filter.destination) &&
  (filter.reason === undefined || message.reason === filter.reason) &&
  (filter.idPrefix === undefined || message.id.startsWith(filter.idPrefix)) &&
  (filter.ids === undefined || filter.ids.includes(message.id)) &&
  (filter.from === undefined || message.at >= filter.from) &&
  (filter.to === undefined || message.at < filter.to) &&
  (filter.late !== true || message.at <= now)

/** Brings messages about in several shards. @returns them */
export async function build(
  w: ScriptWorld,
  shardMap: ShardMap,
  now: number,
  wanted: readonly Spec[],
): Promise<Plain[]> {
  const placed = wanted.map((spec, i) => {
    const id = `m${i}`
    const shards = shardMap.shardsOf(id)
    return { ...spec, id, shard: (spec.old ? shards.at(-1) : shards[0]) ?? 0 }
  })
  const plain: Plain[] = []
  for (let shard = 0; shard < shardMap.all; shard += 1) {
    const ours = { ...w, shard, keys: keysOf(shard, w.namespace) }
    for (const end of ENDS) {
      for (const reason of end === 'dead' ? REASONS : REASONS.slice(0, 1)) {
        const group = placed.filter(
          (each) => each.shard === shard && each.end === end && (end !== 'dead' || each.reason === reason),
        )
        if (group.length > 0) plain.push(...(await bringAbout(ours, now, end, reason, group)))
      }
    }
  }
  return plain
}

async function bringAbout(
  w: ScriptWorld,
  now: number,
  end: End,
  reason: string,
  group: readonly (Spec & { id: string })[],
): Promise<Plain[]> {
  const isLeft = end === 'scheduled'
  // Servers deliver these two in no state but scheduled, and delivered for streams.
  const nameOf = ({ destination }: Spec) => {
    const isHeld = destination === 'pull:q' || (destination === 'stream' && end !== 'delivered')
    return isHeld && !isLeft ? 'console' : destination
  }
  await w.scripts.schedule(
    w.shard,
    group.map((spec) => {
      const at = isLeft ? now + spec.step : now - 60_000
      const late = end === 'dropped' ? ({ notAfter: at, onLate: 'drop' } as const) : {}
      const destination = DESTINATIONS[nameOf(spec)] ?? { type: 'console' }
      return entry(spec.id, { due: { at }, options: { destination, tags: spec.tags, ...late } })
    }),
  )
  if (!isLeft) {
    const { ids, token } = await claim(w, {}, LOCK_MS)
    if (end === 'delivered') {
      await w.scripts.acknowledge(
        w.shard,
        ids.map((id) => ({ id, token, lateMs: 0 })),
      )
    }
    if (end === 'dead' || end === 'retry')
      await w.scripts.release(
        w.shard,
        ids.map((id) => (end === 'dead' ? rejected(token, id, reason) : postponed(token, id, HOUR_MS))),
      )
  }
  const found = await w.scripts.find(
    w.shard,
    group.map(({ id }) => id),
  )
  const status = end === 'retry' ? 'scheduled' : end
  return group.map((spec, i) => ({
    ...{ id: spec.id, status, tags: spec.tags, destination: nameOf(spec) },
    reason: end === 'dead' ? reason : null,
    at: found[i]?.score ?? Number.NaN,
  }))
}
