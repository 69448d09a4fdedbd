import type { QueryScripts } from '../store/scripts/query.ts'

/** How much is to be delivered, and how much of that the servers can do at a time. */
export interface Load {
  /** messages that are due and not claimed */
  readonly overdue: number
  /** for how long the first of them has been due, ms; 0 for none */
  readonly oldestOverdueMs: number
  /** messages that fall due within the next 10 s, minute and 5 minutes, what is due already left out */
  readonly due: { readonly s10: number; readonly m1: number; readonly m5: number }
  /** in the busiest second of the next minute */
  readonly peakPerSecond: number
  /** when that second begins, epoch ms; null if nothing falls due in this minute */
  readonly peakAt: number | null
  /** deliveries to webhooks under way, on all servers */
  readonly inFlight: number
  /** how many there may be at a time, on all servers */
  readonly capacity: number
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)

/** @param servers what each server that is alive says of itself, where it does @see lua/query/load.lua */
export async function load(
  scripts: Pick<QueryScripts, 'load'>,
  shards: number,
  servers: () => Promise<readonly { readonly load?: Pick<Load, 'inFlight' | 'capacity'> }[]>,
): Promise<Load> {
  const [known, ...loads] = await Promise.all([
    servers(),
    ...Array.from({ length: shards }, (_, shard) => scripts.load(shard)),
  ])
  // Each shard counts from when its call ran; the seconds of all are a few ms apart.
  const now = Math.max(...loads.map((each) => each.now))
  const seconds = Array.from({ length: 60 }, (_, i) => sum(loads.map(({ perSecond }) => perSecond[i] ?? 0)))
  const peakPerSecond = Math.max(...seconds)
  const working = known.flatMap((server) => server.load ?? [])
  return {
    overdue: sum(loads.map(({ overdue }) => overdue)),
    oldestOverdueMs: Math.max(...loads.map(({ oldestMs }) => oldestMs)),
    due: { s10: sum(seconds.slice(0, 10)), m1: sum(seconds), m5: sum(loads.map(({ soon }) => soon)) },
    peakPerSecond,
    peakAt: peakPerSecond === 0 ? null : now + 1_000 * seconds.indexOf(peakPerSecond),
    inFlight: sum(working.map(({ inFlight }) => inFlight)),
    capacity: sum(working.map(({ capacity }) => capacity)),
  }
}
