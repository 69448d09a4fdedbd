import type { Cluster, Redis } from 'ioredis'
import { SchedulerError } from '../../domain/errors.ts'
import { parseAttempts } from '../../domain/message.ts'
import {
  type Argument,
  defineScript,
  keyBook,
  numberOrNull,
  oneOf,
  partOf,
  type ScriptsOptions,
} from '../define-script.ts'
import { wakeChannelOf } from '../keys.ts'

export interface ScheduleEntry {
  readonly id: string
  /** when it is due: epoch ms, or ms from now by Redis's clock */
  readonly due: { readonly at: number } | { readonly inMs: number }
  /**
   * - "future"  a server-made id, stored only if its due time has not come yet
   * - "any"     a server-made id
   * - "client"  an id of the client's, which may be in use or finished; the body has a fingerprint
   */
  readonly rule: 'future' | 'any' | 'client'
  /** by Redis's clock, epoch ms: from then on a client's id is not stored any more; never unless given */
  readonly closesAt?: number
  /** the record without its due time, see message.ts */
  readonly body: string
}

/** What makes a call the same one however often it is sent. */
export interface ScheduleCall {
  /** unique to this call */
  readonly token: string
  /** by Redis's clock, epoch ms: a copy that arrives later stores nothing */
  readonly runBy: number
  /** by Redis's clock, epoch ms: when the first copy was sent; null in that one */
  readonly firstSentAt: number | null
}

const REFUSALS = ['exists', 'past', 'expired', 'duplicate', 'conflict', 'moved'] as const
/** What became of an entry; see lua/schedule/schedule.lua for the refusals. */
export type ScheduleWord = 'scheduled' | (typeof REFUSALS)[number]

export interface ScheduleReply {
  /** one per entry, in order */
  readonly words: ScheduleWord[]
  /** ms until the next message if an entry became it, from `now` on */
  readonly headInMs: number | null
  /** Redis's clock, epoch ms */
  readonly now: number
  /** when the call ran, epoch ms: before `now` if this is a further copy; null if it came too late, and stored nothing */
  readonly ranAt: number | null
  /** how much of the ms that `now` tells had gone: with it a wait is not up to 1 ms too long */
  readonly gone: number
}

export interface Claim {
  readonly id: string
  /** grows with every claim of a message */
  readonly number: number
  /** when this attempt was due, epoch ms: the message's own due time or that of a retry */
  readonly attemptDueAt: number
  readonly record: string
  /** failed deliveries so far */
  readonly failures: number
  /** claims so far that ended because their server did not settle them in time */
  readonly recoveries: number
  /** why Redis refused to add it to its stream, as a short code: its delivery has failed; absent for others */
  readonly refusal?: string
}

/** What a caller has room for. */
export interface ClaimRoom {
  /** messages at most from the main due set */
  readonly limit: number
  /** messages at most to be moved into streams */
  readonly streamLimit: number
  /** messages at most from all lanes of hosts or queues together */
  readonly slots: number
  /** messages at most from each host's lane that `lanes` does not name; 0 leaves out hosts */
  readonly hostSlots: number
  /** slots of which a host gets more only while it has fewer than are left, unless it is the only one there is */
  readonly reserve: number
  /** lanes for which it is another number */
  readonly lanes: ReadonlyMap<string, number>
}

export interface ClaimReply {
  readonly claims: readonly Claim[]
  /** Redis's clock at the claim, epoch ms */
  readonly now: number
  /** how much of the ms that `now` tells had gone: with it a wait is not up to 1 ms too long */
  readonly gone: number
  /** ms until the next message that there would be room for is due; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** ms until the next claim expires, be it whose it may, unless it is extended; null when there is none */
  readonly expiryInMs: number | null
  /** something is due that there was no slot for */
  readonly heldBack: boolean
  /** expired claims put back to due by this call */
  readonly recovered: number
  /** messages past their not-after that this call dropped */
  readonly dropped: number
  /** messages that this call made dead letters */
  readonly died: number
  /** dead letters that were too many or too old, deleted */
  readonly trimmed: number
  /** for each message moved into a stream, how late it was after this attempt was due, ms */
  readonly moved: readonly number[]
}

/** A claim, and the token that proves it. */
export interface Held {
  readonly id: string
  readonly token: string
}

export interface Delivered extends Held {
  /** how late its delivery began; null for by how much it is late now */
  readonly lateMs: number | null
}

export type Release = Held &
  (
    | {
        readonly why: 'failed'
        readonly retryAfterMs: number
        readonly reason: string
        readonly report: string
      }
    | {
        readonly why: 'postponed'
        readonly delayMs: number
        readonly reason: string
        readonly report: string
      }
    | { readonly why: 'rejected'; readonly reason: string; readonly report: string }
    | { readonly why: 'returned'; readonly dueAt: number }
  )

const RELEASE_WORDS = ['released', 'dead', 'lost'] as const
export type ReleaseWord = (typeof RELEASE_WORDS)[number]

interface ReleaseReply {
  /** one per release, in order: back on the schedule, a dead letter now, or its claim was lost */
  readonly words: ReleaseWord[]
  /** dead letters that were too many or too old, deleted */
  readonly trimmed: number
}

/**
 * The scripts a message travels through; see the header of each file in `lua/` for what it writes and costs.
 * Each rejects as defineScript says. Ids of one call must differ.
 */
export interface Scripts {
  /** A call that is made again, in this shard with the same entries, stores once. @see lua/schedule/schedule.lua */
  schedule(shard: number, entries: readonly ScheduleEntry[], call: ScheduleCall): Promise<ScheduleReply>
  /** @param token unique to this call @see lua/claim/claim.lua */
  claim(shard: number, args: { token: string; lockMs: number; room: ClaimRoom }): Promise<ClaimReply>
  /** @returns the ids whose lock no longer held the token @see lua/claim/acknowledge.lua */
  acknowledge(shard: number, delivered: readonly Delivered[]): Promise<string[]>
  /** @see lua/claim/release.lua */
  release(shard: number, releases: readonly Release[]): Promise<ReleaseReply>
  /** @returns the ids whose lock no longer held the token @see lua/claim/extend.lua */
  extend(shard: number, args: { held: readonly Held[]; lockMs: number }): Promise<string[]>
}

/** Defines the scripts on a client, once, and returns them as methods. */
export function createScripts(client: Redis | Cluster, options: ScriptsOptions): Scripts {
  const { namespace, clockOffsetMs = () => 0, maxRecoveries } = options
  const { historyMax, historyTtlMs, dedupWindowMs, deadMax, deadTtlMs } = options.retention
  const wakeChannel = wakeChannelOf(namespace)
  const keys = keyBook(namespace)
  const schedule = defineScript(client, 'schedule', true)
  const claim = defineScript(client, 'claim')
  const acknowledge = defineScript(client, 'acknowledge')
  const release = defineScript(client, 'release')
  const extend = defineScript(client, 'extend')
  const refusal = oneOf('schedule', REFUSALS)
  const releaseWord = oneOf('release', RELEASE_WORDS)
  const retry = JSON.stringify(options.retry)

  return {
    async schedule(shard, entries, { token, runBy, firstSentAt }) {
      const k = keys(shard)
      const args: Argument[] = [k.scheduled, k.messages, k.history, k.delivered, k.dropped]
      args.push(k.laned, k.hosts, k.queues, k.streams, k.callPrefix + token)
      args.push(clockOffsetMs(), wakeChannel, shard, k.tagPrefix, k.seenPrefix, runBy, firstSentAt ?? '')
      for (const { id, due, rule, closesAt, body } of entries) {
        const ruleText = closesAt === undefined ? rule : `${rule} ${closesAt}`
        args.push(id, 'at' in due ? due.at : `+${due.inMs}`, ruleText, body)
      }
      const [now, ranAt, head, ...refused] = await schedule(...args)
      const words = new Array<ScheduleWord>(entries.length).fill('scheduled')
      for (let i = 0; i < refused.length; i += 2) words[Number(refused[i]) - 1] = refusal(refused[i + 1])
      return { words, headInMs: numberOrNull(head), ranAt: numberOrNull(ranAt), ...wholeAndGone(now) }
    },

    async claim(shard, { token, lockMs, room }) {
      const k = keys(shard)
      const reply = await claim(
        ...[k.scheduled, k.claimed, k.messages, k.attempts, k.dead, k.history, k.delivered, k.dropped],
        ...[k.laned, k.hosts, k.queues, k.failures, k.claims, k.streams, k.clock],
        ...[clockOffsetMs(), wakeChannel, shard, k.lockPrefix, k.tagPrefix, k.seenPrefix, k.streamPrefix],
        ...[partOf(historyMax, options, shard), historyTtlMs, dedupWindowMs],
        ...[partOf(deadMax, options, shard), deadTtlMs, maxRecoveries],
        ...[token, lockMs, room.limit, room.streamLimit, room.slots, room.hostSlots, room.reserve],
        ...[...room.lanes].flat(),
      )
      const [now, nextDueIn, expiryIn, heldBack, recovered, dropped, died, trimmed, firstClaim, movedCount] =
        reply
      const firstOfClaims = 10 + Number(movedCount)
      const claims: Claim[] = []
      for (let i = firstOfClaims; i < reply.length; i += 4) {
        claims.push({
          id: String(reply[i]),
          number: Number(firstClaim) + claims.length,
          attemptDueAt: Number(reply[i + 1]),
          record: String(reply[i + 2]),
          ...countsAndRefusal(String(reply[i + 3])),
        })
      }
      return {
        claims,
        ...wholeAndGone(now),
        nextDueInMs: numberOrNull(nextDueIn),
        expiryInMs: numberOrNull(expiryIn),
        heldBack: heldBack === 1,
        recovered: Number(recovered),
        dropped: Number(dropped),
        died: Number(died),
        trimmed: Number(trimmed),
        moved: reply.slice(10, firstOfClaims).map(Number),
      }
    },

    async acknowledge(shard, delivered) {
      const k = keys(shard)
      const args: Argument[] = [
        k.claimed,
        k.messages,
        k.attempts,
        k.history,
        k.delivered,
        k.dropped,
        k.failures,
      ]
      args.push(clockOffsetMs(), k.lockPrefix, k.tagPrefix, k.seenPrefix)
      args.push(partOf(historyMax, options, shard), historyTtlMs, dedupWindowMs)
      return inParts(delivered, async (part) => {
        const each = part.flatMap(({ id, token, lateMs }): Argument[] => [id, token, lateMs ?? ''])
        const [lookedAt, ...lost] = await acknowledge(...args, ...each)
        return { lookedAt: Number(lookedAt), answers: lost.map(String) }
      })
    },

    async release(shard, releases) {
      const k = keys(shard)
      const args: Argument[] = [k.scheduled, k.claimed, k.attempts, k.messages]
      args.push(k.laned, k.hosts, k.queues, k.dead, k.failures)
      args.push(clockOffsetMs(), wakeChannel, shard, k.lockPrefix, k.tagPrefix)
      args.push(partOf(deadMax, options, shard), deadTtlMs, retry)
      let trimmed = 0
      const words = await inParts(releases, async (part) => {
        const [trimmedNow, ...all] = await release(...args, ...part.flatMap(releaseArguments))
        trimmed += Number(trimmedNow)
        return { lookedAt: all.length, answers: all.map(releaseWord) }
      })
      return { words, trimmed }
    },

    async extend(shard, { held, lockMs }) {
      const k = keys(shard)
      const args: Argument[] = [k.claimed, k.clock, clockOffsetMs(), k.lockPrefix, lockMs]
      for (const { id, token } of held) args.push(id, token)
      return (await extend(...args)).map(String)
    },
  }
}

/** The refusal is behind the two counts, see lua/claim/claim.lua. */
function countsAndRefusal(attempts: string): Pick<Claim, 'failures' | 'recoveries' | 'refusal'> {
  const [, counts = attempts, refusal] = /^(\d+ \d+) (.+)$/.exec(attempts) ?? []
  return { ...parseAttempts(counts), ...(refusal === undefined ? {} : { refusal }) }
}

/** @param exact epoch ms with a fraction, as text: as one number its fraction would not be exact */
function wholeAndGone(exact: unknown): { now: number; gone: number } {
  const [whole, thousandths = 0] = String(exact).split('.')
  return { now: Number(whole), gone: Number(thousandths) / 1_000 }
}

/**
 * Makes calls until all is done, as one may do a part of what it is asked for.
 *
 * @param call does it with some; answers of how many from the first on, and what it answered
 * @throws what `call` throws; a SchedulerError is `perhapsDone` where the calls before it were made
 */
async function inParts<T, A>(
  all: readonly T[],
  call: (part: readonly T[]) => Promise<{ lookedAt: number; answers: A[] }>,
): Promise<A[]> {
  const { lookedAt, answers } = await call(all)
  if (lookedAt >= all.length) return answers
  if (lookedAt === 0) throw new Error('a script did nothing of what it was asked for')
  try {
    return [...answers, ...(await inParts(all.slice(lookedAt), call))]
  } catch (cause) {
    if (!(cause instanceof SchedulerError) || cause.code !== 'STORE_UNAVAILABLE') throw cause
    throw new SchedulerError(cause.code, cause.message, {
      cause,
      perhapsDone: true,
      timedOut: cause.timedOut,
    })
  }
}

function releaseArguments(release: Release): Argument[] {
  const { id, token, why } = release
  const [reason, report] = 'reason' in release ? [release.reason, release.report] : ['', '']
  return [id, token, why, whenOf(release), Math.random(), reason, report]
}

function whenOf(release: Release): number {
  switch (release.why) {
    case 'failed':
      return release.retryAfterMs
    case 'postponed':
      return release.delayMs
    case 'returned':
      return release.dueAt
    case 'rejected':
      return 0
    default:
      return release satisfies never
  }
}
