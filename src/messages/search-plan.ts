import type { Index, Keep, SearchScripts, Span } from '../store/scripts/search.ts'
import { type Filter, statusOf } from './filter.ts'

/** One index that holds what matches, and what has to be checked of each message in it. */
export interface Plan extends Span {
  readonly index: Index
  readonly keep: Keep
}

/**
 * The indexes of a shard in which to search: together they hold every match once. Of a tag's and a lane's index it is
 * the smaller one.
 *
 * @param now Redis's clock, epoch ms
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function planSearch(
  scripts: Pick<SearchScripts, 'size'>,
  shard: number,
  filter: Filter,
  now: number,
): Promise<readonly Plan[]> {
  const { tag, destination, idPrefix, reason, from, to } = filter
  const status = statusOf(filter)
  // Due at this very millisecond is overdue.
  const before = filter.late === true ? Math.min(to ?? now + 1, now + 1) : (to ?? null)
  const span = { from: from ?? null, before }
  const checked = {
    ...(idPrefix === undefined ? {} : { idPrefix }),
    ...(reason === undefined ? {} : { reason }),
  }
  const withTag = tag === undefined ? checked : { ...checked, tag }
  const withLane = destination === undefined ? {} : { lane: destination }
  if (status !== 'scheduled') return [{ ...span, index: status, keep: { ...withTag, ...withLane } }]
  if (tag === undefined && destination === undefined)
    return EVERY_LANE.map((index) => ({ ...span, index, keep: checked }))
  // A tag's index is by due time, too.
  const inTag: readonly Plan[] =
    tag === undefined
      ? []
      : [{ ...span, index: { tag }, keep: { ...checked, ...withLane, state: 'scheduled' } }]
  if (destination === undefined) return inTag
  const aside: Plan = { ...span, index: ASIDE, keep: { ...withTag, ...withLane } }
  const isAsideUsed = (await sizeOf(scripts, shard, [aside])) > 0
  const inLane: readonly Plan[] = [
    { ...span, index: laneIndex(destination), keep: withTag },
    ...(isAsideUsed ? [aside] : []),
  ]
  if (tag === undefined) return inLane
  const [ofTag = 0, ofLane = 0] = await Promise.all(
    [inTag, inLane].map((plans) => sizeOf(scripts, shard, plans)),
  )
  return ofTag <= ofLane ? inTag : inLane
}

const EVERY_LANE = ['scheduled', 'forStreams', 'laned'] as const
/** Messages of all lanes that are kept apart while their tag is paused; see lua/lib/lanes.lua. */
const ASIDE: Index = { lane: 'paused' }

const laneIndex = (name: string): Index =>
  name === 'console' ? 'scheduled' : name === 'stream' ? 'forStreams' : { lane: name }

async function sizeOf(
  scripts: Pick<SearchScripts, 'size'>,
  shard: number,
  plans: readonly Plan[],
): Promise<number> {
  const sizes = await Promise.all(
    plans.map(({ index, from, before }) => scripts.size(shard, { index, from, before })),
  )
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}

/** Whether every message in the index matches, so that its size is the number of matches. */
export const isExact = ({ keep: { state: _, ...checked } }: Plan): boolean =>
  Object.keys(checked).length === 0
