import { toIso } from '../runtime/iso-time.ts'
import type { Told } from './reason.ts'
import { destinationOf, spanOf } from './words.ts'

/** A pause, as far as its reason tells. */
export interface PauseFact {
  readonly target: string
  readonly note: string | null
  readonly by: string | null
  /** epoch ms */
  readonly at: number
  readonly until: number | null
}

/** A live server, as far as reasons need it; see ServerInfo. */
export interface ServerFact {
  readonly id: string
  readonly roles: readonly string[]
  /** its console takes nothing */
  readonly stuck: boolean
  /** lanes for which it has had no slot lately */
  readonly fullHosts: readonly string[]
  /** absent in servers of older versions */
  readonly load?: {
    readonly inFlight: number
    readonly capacity: number
    readonly oldestSince: number | null
    readonly full: readonly {
      readonly lane: string
      readonly inFlight: number
      readonly limit: number
      readonly oldestSince: number | null
    }[]
  }
}

/** What holds for all that is due in a lane. All times are epoch ms. */
export interface LaneFacts {
  readonly now: number
  readonly lane: string
  readonly pause: PauseFact | undefined
  readonly servers: readonly ServerFact[]
  /** when a server with the role worker was last heard of; null where none was */
  readonly workerHeardAt: number | null
  /** when its queue was last asked, if it is one; null for never */
  readonly askedAt: number | null
}

/** A queue that nobody has asked for so long has no workers. */
export const ASKED_WITHIN_MS = 60_000

/** What is due waits for the first of these that holds. @returns undefined when nothing is in its way */
export function laneReason(facts: LaneFacts): Told | undefined {
  if (facts.pause !== undefined) return paused(facts.pause, facts.now)
  // Here order-blocked will follow, and rate-limited and flow-full in front of destination-full.
  if (facts.lane.startsWith('pull:')) return noPuller(facts)
  return noWorker(facts) ?? destinationFull(facts) ?? serversFull(facts)
}

export const pauseDetails = ({ target, by, note, at, until }: PauseFact) => ({
  target,
  ...(by === null ? {} : { by }),
  ...(note === null ? {} : { note }),
  at,
  ...(until === null ? {} : { until }),
})

function paused(pause: PauseFact, now: number): Told {
  const { target, by, note, at, until } = pause
  const who = by === null ? '' : ` by ${by}`
  const why = note === null || note === '' ? '' : `: ${note}`
  const end = until === null ? '' : `, until ${toIso(until)}`
  const what = target === 'all' ? 'everything' : target
  return {
    reason: 'paused',
    since: at,
    until,
    summary: `It is due, but ${what} is paused${who} for ${spanOf(now - at)}${end}${why}`,
    details: pauseDetails(pause),
  }
}

function noWorker({ servers, workerHeardAt, now }: LaneFacts): Told | undefined {
  if (servers.some(({ roles }) => roles.includes('worker'))) return undefined
  const since = workerHeardAt === null ? '' : ` for ${spanOf(now - workerHeardAt)}`
  return {
    reason: 'no-worker',
    since: workerHeardAt,
    until: null,
    summary: `It is due, but no server with the role worker has been heard of${since}`,
    details: { ...(workerHeardAt === null ? {} : { workerHeardAt }), servers: servers.length },
  }
}

function noPuller({ lane, askedAt, now }: LaneFacts): Told | undefined {
  if (askedAt !== null && now - askedAt <= ASKED_WITHIN_MS) return undefined
  const queue = lane.slice('pull:'.length)
  const since = askedAt === null ? 'nobody has ever asked' : `nobody has asked for ${spanOf(now - askedAt)}`
  return {
    reason: 'no-puller',
    since: askedAt,
    until: null,
    summary: `It is due, but ${since} queue ${queue} for messages`,
    details: { queue, ...(askedAt === null ? {} : { askedAt }) },
  }
}

/** What is in flight, over some servers, and the longest of it. */
interface InFlight {
  readonly server: string
  readonly inFlight: number
  readonly limit: number
  readonly oldestSince: number | null
}

function fullness(all: readonly InFlight[]) {
  const sum = (of: (each: InFlight) => number) => all.reduce((total, each) => total + of(each), 0)
  const oldest = all
    .filter(({ oldestSince }) => oldestSince !== null)
    .sort((a, b) => Number(a.oldestSince) - Number(b.oldestSince))[0]
  return {
    since: oldest?.oldestSince ?? null,
    details: {
      ...(all.length === 0
        ? {}
        : { inFlight: sum(({ inFlight }) => inFlight), limit: sum(({ limit }) => limit) }),
      ...(oldest === undefined ? {} : { oldestSince: oldest.oldestSince, server: oldest.server }),
    },
  }
}

const workersOf = (servers: readonly ServerFact[]) => servers.filter(({ roles }) => roles.includes('worker'))

/** No server has a slot for its host; no server's console takes anything. */
function destinationFull({ servers, lane, now }: LaneFacts): Told | undefined {
  const workers = workersOf(servers)
  const isFull =
    lane === '' ? ({ stuck }: ServerFact) => stuck : ({ fullHosts }: ServerFact) => fullHosts.includes(lane)
  if (workers.length === 0 || !workers.every(isFull)) return undefined
  const { since, details } = fullness(
    workers.flatMap(({ id, load }) =>
      (load?.full ?? []).flatMap((each) => (each.lane === lane ? [{ ...each, server: id }] : [])),
    ),
  )
  const oldest = since === null ? '' : `; the oldest has been for ${spanOf(now - since)}`
  const count =
    details.inFlight === undefined ? 'all slots are' : `${details.inFlight} of ${details.limit} are`
  const why =
    lane === '' ? 'the console takes nothing' : `${count} in flight to ${destinationOf(lane)}${oldest}`
  return { reason: 'destination-full', since, until: null, summary: `It is due, but ${why}`, details }
}

function serversFull({ servers, lane, now }: LaneFacts): Told | undefined {
  if (lane === '' || lane === 'stream') return undefined
  const loads = workersOf(servers).map(({ id, load }) => ({ server: id, load }))
  const full = loads.flatMap(({ server, load }) =>
    load === undefined || load.inFlight < load.capacity ? [] : [{ ...load, limit: load.capacity, server }],
  )
  if (full.length === 0 || full.length < loads.length) return undefined
  const { since, details } = fullness(full)
  const oldest = since === null ? '' : `; the oldest has been for ${spanOf(now - since)}`
  return {
    reason: 'servers-full',
    since,
    until: null,
    summary: `It is due, but ${details.inFlight} of ${details.limit} webhooks of all servers are in flight${oldest}`,
    details,
  }
}
