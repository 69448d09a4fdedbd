import { parseAttemptCounts } from '../../domain/attempt-counts.ts'
import type { ScriptContext } from '../define-script.ts'
import { type ExactTime, exactTime, numberOrNull } from '../replies.ts'

export interface Claim {
  readonly id: string
  /** a fencing token: grows with each claim of the message */
  readonly number: number
  /** when this attempt was due, epoch ms: the message's own due time or that of a retry */
  readonly attemptDueAt: number
  readonly record: string
  /** failed deliveries so far */
  readonly failures: number
  /** claims so far that expired */
  readonly recoveries: number
}

/** Further effects of a claim call in its shard. */
export interface ClaimEffects {
  /** expired claims that were put back on the schedule */
  readonly recovered: number
  /** messages that were dropped because their not-after has passed */
  readonly dropped: number
  /** messages that became dead letters */
  readonly died: number
  /** dead letters that were deleted because they are too many or too old */
  readonly trimmed: number
  /** the messages behind the first three numbers, in order of those */
  readonly effects: readonly ClaimEffect[]
}

/** What a claim call did with a message that it did not claim. */
export interface ClaimEffect {
  readonly kind: 'recovered' | 'dropped' | 'died'
  readonly id: string
  /** its record without the payload */
  readonly head: string
  /** why, as a short code */
  readonly reason: string
}

export interface ClaimReply<C extends Claim = Claim> extends ClaimEffects, ExactTime {
  readonly claims: readonly C[]
  /** ms until the next message for this caller is due; null if none is scheduled */
  readonly nextDueInMs: number | null
  /** ms until the next claim in the shard expires unless it is extended; null if there is none */
  readonly expiryInMs: number | null
}

/** @property token unique to the call */
export interface ClaimArgs {
  readonly token: string
  readonly lockMs: number
}

/** The free slots of a server. */
export interface HostRoom {
  /** most messages from all hosts together */
  readonly slots: number
  /** most messages from each lane that `lanes` does not name */
  readonly hostSlots: number
  /** the last slots; a host gets some of them only while it has fewer than are free, or if it is the only host */
  readonly reserve: number
  /** most messages from these lanes */
  readonly lanes: ReadonlyMap<string, number>
}

/** Also tells when messages for other claimers are due, as a safety net for missed wakes. */
export interface ConsoleReply extends ClaimReply {
  /** ms until the first message for a host is due; null if there is none */
  readonly hostsInMs: number | null
  /** ms until the first message for a stream is due; null if there is none */
  readonly streamsInMs: number | null
}

export interface HostClaim extends Claim {
  /** the lane of its host */
  readonly lane: string
}

export interface HostReply extends ClaimReply<HostClaim> {
  /** whether a due message had no free slot */
  readonly heldBack: boolean
}

export interface StreamClaim extends Claim {
  /** why Redis refused to add it to its stream, as a short code; "" if its record is unreadable */
  readonly streamError: string
}

/** @property claims messages that could not be moved: their delivery has failed */
export interface MoveReply extends ClaimReply<StreamClaim> {
  /** for each moved message, how late this attempt was, ms */
  readonly moved: readonly number[]
  /** the same messages, if the call asked which; else none */
  readonly movedMessages: readonly { readonly id: string; readonly head: string; readonly lateMs: number }[]
}

export interface PeekReply {
  /** for each lane, in order: ms until its next message is due; null if it has none */
  readonly nextDueInMs: readonly (number | null)[]
  /** ms until the next claim in the shard expires, 0 if one has; null if there is none */
  readonly expiryInMs: number | null
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface ClaimScripts {
  /** Claims for the console. @see lua/claim/claim.lua */
  claim(shard: number, args: ClaimArgs & { limit: number }): Promise<ConsoleReply>
  /** Claims for hosts, such as those of webhooks. @see lua/claim/claim-hosts.lua */
  claimHosts(shard: number, args: ClaimArgs & { room: HostRoom }): Promise<HostReply>
  /**
   * Delivers to streams.
   *
   * @param tells whether to tell which messages were moved; false unless given
   * @see lua/claim/move-to-streams.lua
   */
  moveToStreams(shard: number, args: ClaimArgs & { limit: number; tells?: boolean }): Promise<MoveReply>
  /** Claims for a pull worker. @see lua/claim/lease.lua */
  lease(shard: number, args: ClaimArgs & { limit: number; lane: string }): Promise<ClaimReply>
  /** Asks when the next messages of queues are due. @see lua/claim/peek.lua */
  peek(shard: number, lanes: readonly string[]): Promise<PeekReply>
}

export function claimScripts({ define }: ScriptContext): ClaimScripts {
  const claim = define('claim', { args: ['token', 'lockMs', 'limit'] })
  const claimHosts = define('claim-hosts', {
    args: ['token', 'lockMs', 'slots', 'hostSlots', 'reserve'],
    each: {
      lane: ([lane]: readonly [lane: string, room: number]) => lane,
      room: ([, room]) => room,
    },
  })
  const moveToStreams = define('move-to-streams', { args: ['token', 'lockMs', 'limit', 'tells'] })
  const lease = define('lease', { args: ['token', 'lockMs', 'limit', 'lane'] })
  const peek = define('peek', { each: { lane: (lane: string) => lane }, timed: true })
  return {
    async claim(shard, args) {
      const reply = await claim(shard, args)
      const others = { hostsInMs: numberOrNull(reply[8]), streamsInMs: numberOrNull(reply[9]) }
      return { ...toReply(reply, 10), ...others }
    },
    async claimHosts(shard, { room: { lanes, ...room }, ...args }) {
      const reply = await claimHosts(shard, { ...args, ...room }, [...lanes])
      return { ...toReply(reply, 9, (lane) => ({ lane })), heldBack: reply[8] === 1 }
    },
    async moveToStreams(shard, { tells = false, ...args }) {
      const reply = await moveToStreams(shard, { ...args, tells: tells ? 1 : 0 })
      const width = tells ? 3 : 1
      const first = 9 + Number(reply[8]) * width
      const moved: number[] = []
      const movedMessages: { id: string; head: string; lateMs: number }[] = []
      for (let i = 9; i < first; i += width) {
        const lateMs = Number(reply[i])
        moved.push(lateMs)
        if (tells) movedMessages.push({ id: String(reply[i + 1]), head: String(reply[i + 2]), lateMs })
      }
      return { ...toReply(reply, first, (streamError) => ({ streamError })), moved, movedMessages }
    },
    lease: async (shard, args) => toReply(await lease(shard, args), 8),
    async peek(shard, lanes) {
      const [expiryIn, ...nextDueIn] = await peek(shard, {}, lanes)
      return { nextDueInMs: nextDueIn.map(numberOrNull), expiryInMs: numberOrNull(expiryIn) }
    },
  }
}

/**
 * @param first the position of the first message's values in the reply
 * @param more reads the values of a message after the four that all have; absent if there are none
 */
function toReply<T extends object>(
  reply: readonly unknown[],
  first: number,
  more?: (value: string) => T,
): ClaimReply<Claim & T> {
  const [now, nextDueIn, expiryIn, recovered, dropped, died, trimmed, firstClaim] = reply
  const claims: (Claim & T)[] = []
  for (let i = first; i < reply.length; i += more === undefined ? 4 : 5) {
    const claim: Claim = {
      id: String(reply[i]),
      number: Number(firstClaim) + claims.length,
      attemptDueAt: Number(reply[i + 1]),
      record: String(reply[i + 2]),
      ...parseAttemptCounts(String(reply[i + 3])),
    }
    claims.push(Object.assign(claim, more?.(String(reply[i + 4]))))
  }
  return {
    ...{ claims, ...exactTime(now) },
    nextDueInMs: numberOrNull(nextDueIn),
    expiryInMs: numberOrNull(expiryIn),
    ...effectsOf({ recovered, dropped, died }),
    trimmed: Number(trimmed),
  }
}

const NO_EFFECTS = { recovered: 0, dropped: 0, died: 0, effects: [] as readonly ClaimEffect[] }

/** @param lists of three values per message, see lua/lib/effects.lua */
function effectsOf(lists: Readonly<Record<ClaimEffect['kind'], unknown>>): typeof NO_EFFECTS {
  const all = Object.entries(lists) as [ClaimEffect['kind'], readonly unknown[]][]
  if (all.every(([, list]) => list.length === 0)) return NO_EFFECTS
  const effects: ClaimEffect[] = []
  const counts = { recovered: 0, dropped: 0, died: 0 }
  for (const [kind, list] of all) {
    counts[kind] = list.length / 3
    for (let i = 0; i < list.length; i += 3) {
      const [id = '', head = '', reason = ''] = list.slice(i, i + 3).map(String)
      effects.push({ kind, id, head, reason })
    }
  }
  return { ...counts, effects }
}
