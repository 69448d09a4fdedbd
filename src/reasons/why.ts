import type { AttemptReport } from '../domain/message.ts'
import type { SuccessfulAttempt } from '../records/marks.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { State } from '../store/scripts/query.ts'
import { type LaneFacts, laneReason, type PauseFact, pauseDetails } from './lane-reason.ts'
import type { Told } from './reason.ts'
import { spanOf } from './words.ts'

/** What is known of one message, gathered at one moment. All times are epoch ms. */
export interface MessageFacts {
  readonly now: number
  readonly state: State | 'unknown'
  /** its own due time; null where it is not known */
  readonly dueAt: number | null
  /** next due (scheduled), lock end (claimed), its end (finished, dead); null where it is not known */
  readonly score: number | null
  readonly createdAt: number | null
  /** failed deliveries so far */
  readonly failures: number
  /** why the last attempt failed, or why it is dead */
  readonly lastError?: string
  readonly lastAttempt?: AttemptReport
  /** how late it was delivered or dropped, ms */
  readonly lateMs?: number
  readonly delivery?: SuccessfulAttempt
  /** name of the key that cancelled it */
  readonly by?: string
  readonly holder?: Holder
  /** of what is due in its lane, how many were due before it, in its shard */
  readonly ahead: number
  /** how many a second leave its lane; null where that is not known */
  readonly perSecond: number | null
  readonly history: { readonly oldestAt: number | null; readonly max: number; readonly ttlMs: number }
}

/** Who holds a claim. */
export interface Holder {
  /** a worker's lease, not a delivery of a server */
  readonly isLease: boolean
  readonly server: string | null
  /** since when */
  readonly at: number | null
  /** whether its server is alive, as far as the claim depends on it, and its lock is there */
  readonly isSound: boolean
}

/** Tells why a message is where it is: the first of the closed list that holds. */
export function why(message: MessageFacts, lane: LaneFacts): Told {
  switch (message.state) {
    case 'scheduled':
      return scheduled(message, lane)
    case 'claimed':
      return claimed(message)
    case 'dead':
      return dead(message)
    case 'delivered':
    case 'dropped':
      return finished(message, message.state)
    case 'cancelled':
      return cancelled(message)
    case 'stranded':
      return {
        ...{ reason: 'unknown', since: null, until: null, details: {} },
        summary: 'Another program has changed the data in Redis: it is stored, but in no state',
      }
    case 'unknown':
      return unknown(message)
    default:
      return message.state satisfies never
  }
}

function scheduled(message: MessageFacts, lane: LaneFacts): Told {
  const { now, score } = message
  if (score !== null && score > now) return notDue(message, score, lane.pause)
  return laneReason(lane) ?? behind(message)
}

function notDue(
  { now, createdAt, dueAt: ownDueAt, failures, lastError, lastAttempt }: MessageFacts,
  dueAt: number,
  pause: PauseFact | undefined,
): Told {
  const when = `${toIso(dueAt)}, in ${spanOf(dueAt - now)}`
  const held = pause === undefined ? '' : `; ${pause.target} is paused`
  const details = pause === undefined ? {} : { paused: pauseDetails(pause) }
  if (failures === 0 || dueAt === ownDueAt) {
    return {
      ...{ reason: 'not-due', since: createdAt, until: dueAt },
      summary: `It is due at ${when}${held}`,
      details: { ...details, dueAt },
    }
  }
  const failedAt = lastAttempt === undefined ? null : lastAttempt.at + lastAttempt.durationMs
  return {
    ...{ reason: 'waiting-retry', since: failedAt, until: dueAt },
    summary: `Attempt ${failures} failed (${lastError ?? 'unknown'}); the next is at ${when}${held}`,
    details: {
      ...details,
      ...{ attempt: failures, nextAttemptAt: dueAt },
      ...(lastError === undefined ? {} : { lastError }),
    },
  }
}

function claimed({ now, score, holder }: MessageFacts): Told {
  const lockUntil = score ?? now
  const { isLease = false, server = null, at = null, isSound = false } = holder ?? {}
  const details = { ...(server === null ? {} : { server }), lockUntil }
  const by = server === null ? '' : ` by server ${server}`
  const since = at === null ? '' : ` for ${spanOf(now - at)}`
  const until = `its lock ends at ${toIso(lockUntil)}`
  if (!isSound || lockUntil <= now) {
    const who = isLease
      ? 'Its worker let its lease end'
      : `Its server${server === null ? '' : ` ${server}`} died or hangs`
    return {
      ...{ reason: 'lock-lost', since: null, until: lockUntil, details },
      summary: `${who}; it is due again once ${until}`,
    }
  }
  return isLease
    ? {
        ...{ reason: 'leased', since: at, until: lockUntil, details },
        summary: `A worker has leased it${since}; ${until}`,
      }
    : {
        ...{ reason: 'delivering', since: at, until: lockUntil, details },
        summary: `It is being delivered${by}${since}; ${until}`,
      }
}

function behind({ now, score, ahead, perSecond }: MessageFacts): Told {
  const until = perSecond === null || perSecond <= 0 ? null : now + (ahead / perSecond) * 1_000
  const pace = perSecond === null ? '' : `, of which ${perSecond} a second leave`
  const count = ahead === 1 ? '1 message was' : `${ahead} messages were`
  return {
    ...{ reason: 'behind', since: score, until: until === null ? null : Math.round(until) },
    summary: `It is due and nothing is in its way; ${count} due before it${pace}`,
    details: { ahead, ...(perSecond === null ? {} : { perSecond }) },
  }
}

function dead({ score, failures, lastError, lastAttempt }: MessageFacts): Told {
  const reason = lastError ?? 'unknown'
  return {
    ...{ reason: 'dead', since: score, until: null },
    summary: `It is a dead letter${score === null ? '' : ` since ${toIso(score)}`} (${reason}): redrive or delete it`,
    details: {
      ...{ reason, attempt: failures },
      ...(lastAttempt?.error === undefined ? {} : { lastError: lastAttempt.error }),
      ...(lastAttempt?.server === undefined ? {} : { server: lastAttempt.server }),
    },
  }
}

function finished({ score, lateMs, delivery }: MessageFacts, state: 'delivered' | 'dropped'): Told {
  const when = score === null ? '' : ` at ${toIso(score)}`
  const late = lateMs === undefined ? '' : `, ${spanOf(lateMs)} late`
  return {
    ...{ reason: state, since: score, until: null },
    summary: `It was ${state}${when}${late}${score === null ? '; only its id is still known' : ''}`,
    details: { ...(lateMs === undefined ? {} : { lateMs }), ...delivery },
  }
}

function cancelled({ score, by, lastError }: MessageFacts): Told {
  return {
    ...{ reason: 'cancelled', since: score, until: null },
    summary: `It was cancelled${by === undefined ? '' : ` by ${by}`}${score === null ? '' : ` at ${toIso(score)}`}`,
    details: { ...(by === undefined ? {} : { by }), ...(lastError === undefined ? {} : { lastError }) },
  }
}

function unknown({ now, history: { oldestAt, max, ttlMs } }: MessageFacts): Told {
  const reach =
    max === 0 || ttlMs === 0
      ? 'there is no history'
      : `the history holds ${max} finished messages for ${spanOf(ttlMs)}` +
        (oldestAt === null ? '' : `, the oldest of ${spanOf(now - oldestAt)} ago`)
  return {
    ...{ reason: 'unknown', since: null, until: null },
    summary: `No message with this id was seen, or it is forgotten: ${reach}`,
    details: {
      historyMax: max,
      historyTtlMs: ttlMs,
      ...(oldestAt === null ? {} : { historySince: oldestAt }),
    },
  }
}
