import type { ScriptContext } from '../define-script.ts'
import { type ExactTime, exactTime, expectWord, type NewHead, newHead, numberOrNull } from '../replies.ts'

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
  /** by Redis's clock, epoch ms: later, a client-made id is not stored; absent for no limit */
  readonly validUntil?: number
  /** the record without its due time, see message.ts */
  readonly body: string
}

/** Identifies a call, so that repeated copies run once. */
export interface ScheduleCall {
  /** unique to this call */
  readonly token: string
  /** by Redis's clock, epoch ms: a copy that arrives later stores nothing */
  readonly runBy: number
  /** by Redis's clock, epoch ms: when the first copy was sent; null in that one */
  readonly firstSentAt: number | null
}

const REFUSALS = ['exists', 'past', 'expired', 'duplicate', 'conflict', 'moved'] as const
/** The result for an entry; lua/schedule/schedule.lua explains the refusals. */
export type ScheduleWord = 'scheduled' | (typeof REFUSALS)[number]

/** The next due time counts from `now`. */
export interface ScheduleReply extends ExactTime, NewHead {
  /** one per entry, in order */
  readonly words: ScheduleWord[]
  /** when the call ran, epoch ms: before `now` if this is a further copy; null if it was too late and stored nothing */
  readonly ranAt: number | null
}

export interface ScheduleScripts {
  /**
   * A repeated call in the same shard, with the same entries, stores once. Ids of one call must differ.
   *
   * @throws SchedulerError as toSchedulerError says
   * @see lua/schedule/schedule.lua
   */
  schedule(shard: number, entries: readonly ScheduleEntry[], call: ScheduleCall): Promise<ScheduleReply>
}

export function scheduleScripts({ define, keys }: ScriptContext): ScheduleScripts {
  const run = define('schedule', {
    args: ['call', 'runBy', 'firstSent'],
    each: {
      id: (entry: ScheduleEntry) => entry.id,
      due: ({ due }) => ('at' in due ? due.at : `+${due.inMs}`),
      rule: ({ rule, validUntil }) => (validUntil === undefined ? rule : `${rule} ${validUntil}`),
      body: ({ body }) => body,
    },
    rollsBack: true,
  })
  const refusal = expectWord('schedule', REFUSALS)
  return {
    async schedule(shard, entries, { token, runBy, firstSentAt }) {
      const call = keys(shard).callPrefix + token
      const reply = await run(shard, { call, runBy, firstSent: firstSentAt ?? '' }, entries)
      const [now, ranAt, head, ...refused] = reply
      const words = new Array<ScheduleWord>(entries.length).fill('scheduled')
      for (let i = 0; i < refused.length; i += 2) words[Number(refused[i]) - 1] = refusal(refused[i + 1])
      return { words, ...newHead(head), ranAt: numberOrNull(ranAt), ...exactTime(now) }
    },
  }
}
