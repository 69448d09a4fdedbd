import type { LateLanes } from '../store/scripts/reasons.ts'
import { laneReason, type PauseFact, pauseDetails } from './lane-reason.ts'
import type { Told } from './reason.ts'
import type { ReasonsDeps } from './reasons.ts'

/** What is told at most, longest overdue first. */
const MOST_LANES = 200

/** What is overdue in a lane. */
export interface LateLane extends Pick<Told, 'reason' | 'since' | 'details'> {
  /** "" for the console; "tags" for what is set aside, as one of its tags is paused */
  readonly lane: string
  readonly count: number
  /** when its first message was due, epoch ms */
  readonly oldest: number
}

export interface Late {
  readonly late: readonly LateLane[]
  /** how many messages are overdue that no pause holds, lanes that are not told included */
  readonly total: number
  readonly paused: readonly LateLane[]
}

/**
 * What is overdue, by lane, and why its first message is. It asks each shard twice: for the
 * lanes that are overdue longest, and for the counts of those that are told.
 */
export async function lateLanes(deps: ReasonsDeps): Promise<Late> {
  const { scripts, shardMap, servers, pauses, pausedBy, workerHeardAt } = deps
  const shards = Array.from({ length: shardMap.all }, (_, shard) => shard)
  const ofShards = await Promise.all(
    shards.map((shard) => scripts.lateLanes(shard, MOST_LANES + pauses().length)),
  )
  const now = Math.max(...ofShards.map((reply) => reply.now))
  const heads = merge(ofShards.map(({ oldest }) => oldest))
  const all = [...heads]
    .sort(([, a], [, b]) => a - b)
    .map(([lane, oldest]) => ({ lane, oldest, pause: pausedBy(lane, []) }))
  const told = [
    ...all.filter(({ pause }) => pause === undefined).slice(0, MOST_LANES),
    ...all.filter(({ pause }) => pause !== undefined).slice(0, MOST_LANES),
  ]
  const lanes = told.map(({ lane }) => lane)
  const queues = lanes.filter(isQueue)
  const [counts, live, asked] = await Promise.all([
    Promise.all(shards.map((shard) => scripts.countLate(shard, lanes))),
    told.length === 0 ? [] : servers(),
    queues.length === 0 ? [] : scripts.lastAsked(queues.map((lane) => lane.slice(PULL.length))),
  ])
  const groups = told.map(({ lane, oldest, pause }, i): LateLane & { pause: PauseFact | undefined } => {
    const count = counts.reduce((sum, ofShard) => sum + (ofShard[i] ?? 0), 0)
    const askedAt = isQueue(lane) ? (asked[queues.indexOf(lane)] ?? null) : null
    const facts = { now, lane, pause, servers: live, workerHeardAt: workerHeardAt(), askedAt }
    const { reason, since, details } = laneReason(facts) ?? behind(oldest)
    return { lane, reason, count, oldest, since: since ?? oldest, details, pause }
  })
  const total = ofShards.reduce((sum, reply) => sum + reply.total, 0)
  const paused = [
    ...groups.filter(({ pause }) => pause !== undefined).map(withoutPause),
    ...setAside(ofShards, pauses()),
  ]
  return {
    late: groups.filter(({ pause }) => pause === undefined).map(withoutPause),
    total: Math.max(0, total - paused.reduce((sum, { count }) => sum + count, 0)),
    paused,
  }
}

/** What is set aside, in one: at most one row. */
function setAside(ofShards: readonly LateLanes[], pauses: readonly PauseFact[]): LateLane[] {
  const count = ofShards.reduce((sum, { aside }) => sum + aside, 0)
  if (count === 0) return []
  const ofTags = pauses.filter(({ target }) => target.startsWith('tag:'))
  const [only, ...others] = ofTags
  const oldest = Math.min(...ofShards.flatMap(({ asideOldest }) => asideOldest ?? []))
  const since = ofTags.length === 0 ? oldest : Math.min(...ofTags.map(({ at }) => at))
  const isOne = only !== undefined && others.length === 0
  const details = isOne ? pauseDetails(only) : { targets: ofTags.map(({ target }) => target) }
  return [{ lane: 'tags', reason: 'paused', count, oldest, since, details }]
}

const PULL = 'pull:'
const isQueue = (lane: string) => lane.startsWith(PULL)
const withoutPause = ({ pause: _, ...lane }: LateLane & { pause: unknown }): LateLane => lane

const behind = (oldest: number) => ({ reason: 'behind', since: oldest, details: {} }) as const

/** The earliest of each lane. */
function merge(all: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const merged = new Map<string, number>()
  for (const oldest of all) {
    for (const [lane, at] of oldest) merged.set(lane, Math.min(at, merged.get(lane) ?? at))
  }
  return merged
}
