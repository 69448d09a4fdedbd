import { parseAttemptCounts } from '../../domain/attempt-counts.ts'
import type { ScriptContext } from '../define-script.ts'
import { type ExactTime, exactTime, numberOrNull } from '../replies.ts'

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
}

/** What a claim call did in its shard in addition to claiming. */
export interface ClaimEffects {
  /** expired claims put back to due */
  readonly recovered: number
  /** messages past their not-after that were dropped */
  readonly dropped: number
  /** messages that became dead letters */
  readonly died: number
  /** dead letters that were too many or too old, deleted */
  readonly trimmed: number
}

export interface ClaimReply<C extends Claim = Claim> extends ClaimEffects, ExactTime {
  readonly claims: readonly C[]
  /** ms until the next message is due that this caller could have; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** ms until the next claim in the shard expires unless it is extended; null when there is none */
  readonly expiryInMs: number | null
}

/** @property token unique to the call */
export interface ClaimArgs {
  readonly token: string
  readonly lockMs: number
}

/** What there are slots for. */
export interface HostRoom {
  /** messages at most from all hosts together */
  readonly slots: number
  /** messages at most from each host's lane that `lanes` does not name */
  readonly hostSlots: number
  /** slots of which a host gets more only while it has fewer than are left, unless it is the only one there is */
  readonly reserve: number
  /** lanes for which it is another number */
  readonly lanes: ReadonlyMap<string, number>
}

/** Tells of what others claim, as the safety net for wakes that they have missed. */
export interface ConsoleReply extends ClaimReply {
  /** ms until the first message for a webhook host is due; null when there is none */
  readonly hostsInMs: number | null
  /** ms until the first message for a stream is due; null when there is none */
  readonly streamsInMs: number | null
}

export interface HostClaim extends Claim {
  /** the lane of its host */
  readonly lane: string
}

export interface HostReply extends ClaimReply<HostClaim> {
  /** something is due that there was no slot for */
  readonly heldBack: boolean
}

export interface StreamClaim extends Claim {
  /** why Redis refused to add it to its stream, as a short code; "" where its record cannot be read */
  readonly streamError: string
}

/** @property claims messages that could not be moved: their delivery has failed */
export interface MoveReply extends ClaimReply<StreamClaim> {
  /** for each message moved, how late it was after this attempt was due, ms */
  readonly moved: readonly number[]
}

export interface PeekReply {
  /** for each lane, in order: ms until its next message is due; null when it has none */
  readonly nextDueInMs: readonly (number | null)[]
  /** ms until the next claim in the shard expires, 0 if one has; null when there is none */
  readonly expiryInMs: number | null
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface ClaimScripts {
  /** Claims for the console. @see lua/claim/claim.lua */
  claim(shard: number, args: ClaimArgs & { limit: number }): Promise<ConsoleReply>
  /** Claims for webhook hosts. @see lua/claim/claim-hosts.lua */
  claimHosts(shard: number, args: ClaimArgs & { room: HostRoom }): Promise<HostReply>
  /** Delivers to streams. @see lua/claim/move-to-streams.lua */
  moveToStreams(shard: number, args: ClaimArgs & { limit: number }): Promise<MoveReply>
  /** Claims for a worker that pulls from a queue. @see lua/claim/lease.lua */
  lease(shard: number, args: ClaimArgs & { limit: number; lane: string }): Promise<ClaimReply>
  /** Asks when there will be something to lease. @see lua/claim/peek.lua */
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
  const moveToStreams = define('move-to-streams', { args: ['token', 'lockMs', 'limit'] })
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
    async moveToStreams(shard, args) {
      const reply = await moveToStreams(shard, args)
      const first = 9 + Number(reply[8])
      const moved = reply.slice(9, first).map(Number)
      return { ...toReply(reply, first, (streamError) => ({ streamError })), moved }
    },
    lease: async (shard, args) => toReply(await lease(shard, args), 8),
    async peek(shard, lanes) {
      const [expiryIn, ...nextDueIn] = await peek(shard, {}, lanes)
      return { nextDueInMs: nextDueIn.map(numberOrNull), expiryInMs: numberOrNull(expiryIn) }
    },
  }
}

/**
 * @param first of the reply's values that are about its messages
 * @param more reads what each message has behind the four values that all have; absent where it has no more
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
    recovered: Number(recovered),
    dropped: Number(dropped),
    died: Number(died),
    trimmed: Number(trimmed),
  }
}
