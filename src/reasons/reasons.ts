import { parseAttemptCounts } from '../domain/attempt-counts.ts'
import { readClaimToken } from '../domain/claim-token.ts'
import { SchedulerError } from '../domain/errors.ts'
import type { StoredMessage } from '../domain/message.ts'
import { parseServerMadeId } from '../domain/message-id.ts'
import { originOf } from '../leases/lease-token.ts'
import { decodeFailures, decodeHistoryEntry } from '../records/history.ts'
import { marksOf } from '../records/marks.ts'
import { UnreadableError } from '../records/readable.ts'
import { decodeRecord } from '../records/record.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import type { FoundMessage } from '../store/scripts/query.ts'
import type { WhyReply } from '../store/scripts/reasons.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { LaneFacts, PauseFact, ServerFact } from './lane-reason.ts'
import { type Late, lateLanes } from './late.ts'
import type { Told } from './reason.ts'
import { type TimelineEntry, timelineOf } from './timeline.ts'
import { type Holder, type MessageFacts, why } from './why.ts'

/** Why a message is where it is. */
export interface Why extends Told {
  readonly id: string
  readonly status: MessageFacts['state']
}

/** Every method throws SchedulerError STORE_UNAVAILABLE when Redis does not answer. */
export interface Reasons {
  /** Of an id that no message has, too. */
  why(id: string): Promise<Why>
  /** @throws SchedulerError MESSAGE_NOT_FOUND */
  timeline(id: string): Promise<TimelineEntry[]>
  /** What is overdue, by lane. */
  late(): Promise<Late>
}

export interface ReasonsDeps {
  readonly scripts: Pick<Scripts, 'why' | 'find' | 'lateLanes' | 'countLate' | 'lastAsked'>
  readonly shardMap: Pick<ShardMap, 'all' | 'shardsOf'>
  readonly servers: () => Promise<readonly ServerFact[]>
  /** when a server with the role worker was last heard of here, epoch ms; null for never */
  readonly workerHeardAt: () => number | null
  /** the pause that holds what has this lane and these tags */
  readonly pausedBy: (lane: string, tags: readonly string[]) => PauseFact | undefined
  /** all pauses */
  readonly pauses: () => readonly PauseFact[]
  /** how many messages a second leave a lane; null where that is not known */
  readonly perSecond: (lane: string) => Promise<number | null>
  /** entries that a shard keeps, and for how long */
  readonly history: { readonly max: number; readonly ttlMs: number }
  /** Redis's clock as last read, epoch ms */
  readonly now: () => number
}

/** Gathers the facts, each with one read, and tells what follows from them. */
export function createReasons(deps: ReasonsDeps): Reasons {
  const { scripts, shardMap, servers, workerHeardAt, pausedBy, perSecond, history, now } = deps

  /** Where it is, or what the first shard says of an unknown id. */
  async function ask(id: string): Promise<WhyReply> {
    let first: WhyReply | undefined
    for (const shard of shardMap.shardsOf(id)) {
      const reply = await scripts.why(shard, id)
      if (reply.found !== undefined) return reply
      first ??= reply
    }
    return first ?? { now: now(), found: undefined, lane: '', token: '', ahead: 0, oldestAt: null }
  }

  return {
    async why(id) {
      const reply = await ask(id)
      const { found, lane, token } = reply
      const facts = messageFacts(reply, history)
      const isWaiting = found?.state === 'scheduled'
      const isDue = isWaiting && (found.score ?? 0) <= reply.now
      const isLease = lane.startsWith(PULL)
      const [live, askedAt = null, pace] = await Promise.all([
        isDue || found?.state === 'claimed' ? servers() : [],
        isDue && isLease ? scripts.lastAsked([lane.slice(PULL.length)]).then(([at]) => at) : null,
        isDue ? perSecond(lane) : null,
      ])
      const laneFacts: LaneFacts = {
        ...{ now: reply.now, lane, servers: live, workerHeardAt: workerHeardAt(), askedAt },
        pause: isWaiting ? pausedBy(lane, facts.tags) : undefined,
      }
      const holder = found?.state === 'claimed' ? { holder: holderOf(token, lane, reply.now, live) } : {}
      return { id, status: facts.state, ...why({ ...facts, ...holder, perSecond: pace }, laneFacts) }
    },

    async timeline(id) {
      for (const shard of shardMap.shardsOf(id)) {
        const [found] = await scripts.find(shard, [id])
        if (found !== undefined) return timelineOf(found, now())
      }
      throw new SchedulerError('MESSAGE_NOT_FOUND', 'no message has this id')
    },

    late: () => lateLanes(deps),
  }
}

const PULL = 'pull:'

/** Whose the claim is, and whether it can still be settled. */
function holderOf(token: string, lane: string, now: number, servers: readonly ServerFact[]): Holder {
  const ofServer = readClaimToken(token)
  if (ofServer !== undefined) {
    return { isLease: false, ...ofServer, isSound: servers.some(({ id }) => id === ofServer.server) }
  }
  const isLease = lane.startsWith(PULL)
  const ids = servers.map(({ id }) => id)
  const { at = null, server = null } = (isLease && originOf(token, now, ids)) || {}
  return { isLease, server, at, isSound: token !== '' }
}

function messageFacts(
  { now, found, ahead, oldestAt }: WhyReply,
  { max, ttlMs }: ReasonsDeps['history'],
): Omit<MessageFacts, 'perSecond'> & { readonly tags: readonly string[] } {
  const common = { now, ahead, history: { oldestAt, max, ttlMs } }
  const nothing = { dueAt: null, createdAt: null, failures: 0, tags: [] }
  if (found === undefined) return { ...common, ...nothing, state: 'unknown', score: null }
  const { state, score } = found
  const read = score === null ? undefined : readFound(found)
  return { ...common, ...nothing, ...read, state, score: read?.finishedAt ?? score }
}

/** Undefined for what another program has changed. */
function readFound(found: FoundMessage) {
  try {
    const entry = isFinished(found) ? decodeHistoryEntry(found.record) : undefined
    const { record, attemptCounts, failures } = entry ?? found
    const { dueAt, createdAt, tags = [] }: StoredMessage = decodeRecord(record, 'optional')
    const { reason, lastAttempts } = decodeFailures(failures)
    const lastAttempt = lastAttempts?.at(-1)
    const { delivery } = marksOf(record)
    return {
      ...{ dueAt, tags, failures: parseAttemptCounts(attemptCounts).failures },
      createdAt: createdAt ?? parseServerMadeId(found.id)?.createdAt ?? null,
      ...(reason === undefined || reason === '' ? {} : { lastError: reason }),
      ...(lastAttempt === undefined ? {} : { lastAttempt }),
      ...(delivery === undefined ? {} : { delivery }),
      ...(entry === undefined ? {} : { finishedAt: entry.finishedAt }),
      ...(entry === undefined || found.state === 'cancelled' ? {} : { lateMs: entry.lateMs }),
      ...(entry?.by === undefined ? {} : { by: entry.by }),
    }
  } catch (error) {
    if (error instanceof UnreadableError) return undefined
    throw error
  }
}

const isFinished = ({ state }: FoundMessage): boolean =>
  state === 'delivered' || state === 'dropped' || state === 'cancelled'
