import type { Cluster, Redis } from 'ioredis'
import { parseAttempts } from '../message.ts'
import {
  type Argument,
  defineScript,
  historyMaxOf,
  keyBook,
  numberOrNull,
  oneOf,
  type ScriptsOptions,
} from './define-script.ts'
import { wakeChannelOf } from './keys.ts'

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
  /** the record without its due time, see message.ts */
  readonly body: string
}

const REFUSALS = ['exists', 'past', 'expired', 'duplicate', 'conflict'] as const
/** What became of an entry; see lua/schedule.lua for the refusals. */
export type ScheduleWord = 'scheduled' | (typeof REFUSALS)[number]

export interface ScheduleReply {
  /** one per entry, in order */
  readonly words: ScheduleWord[]
  /** ms until the next message if an entry became it */
  readonly headInMs: number | null
  /** Redis's clock, epoch ms */
  readonly now: number
}

export interface Claim {
  readonly id: string
  /** when this attempt was due, epoch ms: the message's own due time or that of a retry */
  readonly attemptDueAt: number
  readonly record: string
  /** failed deliveries so far */
  readonly failures: number
  /** claims so far that ended because their server did not settle them in time */
  readonly recoveries: number
}

export interface ClaimReply {
  readonly claims: readonly Claim[]
  /** Redis's clock at the claim, epoch ms */
  readonly now: number
  /** ms until the next message is due; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** expired claims put back to due by this call */
  readonly recovered: number
  /** messages past their not-after that this call dropped, or made dead letters */
  readonly dropped: number
  readonly dead: number
}

export type Release =
  | { readonly id: string; readonly why: 'failed'; readonly retryInMs: number }
  | { readonly id: string; readonly why: 'returned'; readonly dueAt: number }

export interface Delivered {
  readonly id: string
  readonly lateMs: number
}

/**
 * The scripts a message travels through; see the header of each file in `lua/` for what it writes and costs.
 * Each rejects as defineScript says.
 */
export interface Scripts {
  /** @see lua/schedule.lua */
  schedule(shard: number, entries: readonly ScheduleEntry[]): Promise<ScheduleReply>
  /** @see lua/claim.lua */
  claim(shard: number, args: { token: string; limit: number; lockMs: number }): Promise<ClaimReply>
  /** @returns the ids whose lock no longer held the token @see lua/acknowledge.lua */
  acknowledge(shard: number, args: { token: string; delivered: readonly Delivered[] }): Promise<string[]>
  /** @returns the ids whose lock no longer held the token @see lua/release.lua */
  release(shard: number, args: { token: string; releases: readonly Release[] }): Promise<string[]>
}

/** Defines the scripts on a client, once, and returns them as methods. */
export function createScripts(client: Redis | Cluster, options: ScriptsOptions): Scripts {
  const { namespace, clockOffsetMs = () => 0 } = options
  const { historyTtlMs, dedupWindowMs } = options.retention
  const wakeChannel = wakeChannelOf(namespace)
  const keys = keyBook(namespace)
  const schedule = defineScript(client, 'schedule')
  const claim = defineScript(client, 'claim')
  const acknowledge = defineScript(client, 'acknowledge')
  const release = defineScript(client, 'release')
  const refusal = oneOf('schedule', REFUSALS)

  return {
    async schedule(shard, entries) {
      const k = keys(shard)
      const args: Argument[] = [k.scheduled, k.messages, k.history, k.delivered, k.dropped]
      args.push(clockOffsetMs(), wakeChannel, shard, k.tagPrefix, k.seenPrefix)
      for (const { id, due, rule, body } of entries) {
        args.push(id, 'at' in due ? due.at : `+${due.inMs}`, rule, body)
      }
      const [now, head, ...refused] = await schedule(...args)
      const words = new Array<ScheduleWord>(entries.length).fill('scheduled')
      for (let i = 0; i < refused.length; i += 2) words[Number(refused[i]) - 1] = refusal(refused[i + 1])
      return { words, headInMs: numberOrNull(head), now: Number(now) }
    },

    async claim(shard, { token, limit, lockMs }) {
      const k = keys(shard)
      const reply = await claim(
        ...[k.scheduled, k.claimed, k.messages, k.attempts, k.dead, k.history, k.delivered, k.dropped],
        ...[
          clockOffsetMs(),
          k.lockPrefix,
          k.tagPrefix,
          k.seenPrefix,
          historyMaxOf(options, shard),
          historyTtlMs,
          dedupWindowMs,
        ],
        ...[token, limit, lockMs],
      )
      const [now, nextDueIn, recovered, dropped, dead] = reply
      const claims: Claim[] = []
      for (let i = 5; i < reply.length; i += 4) {
        claims.push({
          id: String(reply[i]),
          attemptDueAt: Number(reply[i + 1]),
          record: String(reply[i + 2]),
          ...parseAttempts(String(reply[i + 3])),
        })
      }
      return {
        claims,
        now: Number(now),
        nextDueInMs: numberOrNull(nextDueIn),
        recovered: Number(recovered),
        dropped: Number(dropped),
        dead: Number(dead),
      }
    },

    async acknowledge(shard, { token, delivered }) {
      const k = keys(shard)
      const args: Argument[] = [k.claimed, k.messages, k.attempts, k.history, k.delivered, k.dropped]
      args.push(clockOffsetMs(), k.lockPrefix, k.tagPrefix, k.seenPrefix)
      args.push(historyMaxOf(options, shard), historyTtlMs, dedupWindowMs, token)
      for (const { id, lateMs } of delivered) args.push(id, lateMs)
      return (await acknowledge(...args)).map(String)
    },

    async release(shard, { token, releases }) {
      const k = keys(shard)
      const args: Argument[] = [k.scheduled, k.claimed, k.attempts, k.messages]
      args.push(clockOffsetMs(), wakeChannel, shard, k.lockPrefix, k.tagPrefix, token)
      for (const entry of releases) {
        args.push(entry.id, entry.why, entry.why === 'failed' ? entry.retryInMs : entry.dueAt)
      }
      return (await release(...args)).map(String)
    },
  }
}
