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
  /** why Redis refused to add the message to its stream, as a short code: its delivery has failed; absent for others */
  readonly streamError?: string
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

export interface ClaimReply extends ExactTime {
  readonly claims: readonly Claim[]
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

export interface ClaimScripts {
  /**
   * @param token unique to this call
   * @throws SchedulerError as toSchedulerError says
   * @see lua/claim/claim.lua
   */
  claim(shard: number, args: { token: string; lockMs: number; room: ClaimRoom }): Promise<ClaimReply>
}

export function claimScripts({ define }: ScriptContext): ClaimScripts {
  const run = define('claim', {
    args: ['token', 'lockMs', 'limit', 'streamLimit', 'slots', 'hostSlots', 'reserve'],
    each: {
      lane: ([lane]: readonly [lane: string, room: number]) => lane,
      room: ([, room]) => room,
    },
  })
  return {
    async claim(shard, { token, lockMs, room }) {
      const { lanes, ...limits } = room
      return toReply(await run(shard, { token, lockMs, ...limits }, [...lanes]))
    },
  }
}

function toReply(reply: readonly unknown[]): ClaimReply {
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
      ...countsAndStreamError(String(reply[i + 3])),
    })
  }
  return {
    claims,
    ...exactTime(now),
    nextDueInMs: numberOrNull(nextDueIn),
    expiryInMs: numberOrNull(expiryIn),
    heldBack: heldBack === 1,
    recovered: Number(recovered),
    dropped: Number(dropped),
    died: Number(died),
    trimmed: Number(trimmed),
    moved: reply.slice(10, firstOfClaims).map(Number),
  }
}

/** The refusal is behind the two counts, see lua/claim/claim.lua. */
function countsAndStreamError(attempts: string): Pick<Claim, 'failures' | 'recoveries' | 'streamError'> {
  const [, counts = attempts, streamError] = /^(\d+ \d+) (.+)$/.exec(attempts) ?? []
  return { ...parseAttemptCounts(counts), ...(streamError === undefined ? {} : { streamError }) }
}
