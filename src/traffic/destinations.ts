import { fulfilledValues } from '../runtime/time-limit.ts'
import type { LaneCount, TrafficScripts } from '../store/scripts/traffic.ts'
import { type HourDeps, type Minute, mergeLanes, readHour } from './hour.ts'
import { busiest, LaneTraffic, MOST_LANES, OTHER } from './lane-traffic.ts'

/** What is known of a lane: what waits in it, and what was delivered to it in the last hour. */
export interface DestinationReport {
  /** "" for the console, OTHER for all lanes that are not kept apart */
  readonly lane: string
  /** scheduled messages; null for OTHER */
  readonly waiting: number | null
  /** how many of them are due; null for OTHER */
  readonly due: number | null
  /** deliveries under way on all servers; null where that is not counted */
  readonly inFlight: number | null
  /** how many there may be at a time on each server; null for no limit */
  readonly concurrency: number | null
  readonly hour: LaneTraffic
  /** those in which something was delivered, in order; `at` is when each began, epoch ms */
  readonly minutes: readonly { readonly at: number; readonly traffic: LaneTraffic }[]
}

export interface DestinationsDeps extends HourDeps {
  readonly scripts: Pick<TrafficScripts, 'readTraffic' | 'countLanes'>
  readonly shards: () => number
  readonly servers: () => Promise<
    readonly { readonly load?: { readonly lanes?: Readonly<Record<string, number>> } }[]
  >
  /** HOST_CONCURRENCY */
  readonly perHost: number
}

export interface Destinations {
  /** The lanes with the most due messages, then the busiest: 200, and OTHER if there are more. */
  all(): Promise<DestinationReport[]>
  /** @param lane as messages have it, "" for the console */
  one(lane: string): Promise<DestinationReport>
}

const isLimited = (lane: string): boolean => lane.startsWith('webhook:')

/** Each method throws a SchedulerError when Redis does not answer. */
export function createDestinations(deps: DestinationsDeps): Destinations {
  const { scripts, shards, servers, perHost } = deps

  /** @returns what each of these lanes holds, and of each shard the lanes that are due first */
  async function countLanes(lanes: readonly string[], most: number): Promise<Map<string, LaneCount>> {
    const calls = Array.from({ length: shards() }, (_, shard) => scripts.countLanes(shard, lanes, most))
    const counts = new Map<string, LaneCount>()
    for (const each of (await fulfilledValues(calls)).flat()) {
      const { waiting, due } = counts.get(each.lane) ?? { waiting: 0, due: 0 }
      counts.set(each.lane, { lane: each.lane, waiting: waiting + each.waiting, due: due + each.due })
    }
    return counts
  }

  async function report(
    lanes: readonly string[],
    minutes: readonly Minute[],
    counts: ReadonlyMap<string, LaneCount>,
  ): Promise<DestinationReport[]> {
    const known = await servers()
    const hour = mergeLanes(minutes.map((minute) => minute.lanes))
    return lanes.map((lane) => ({
      lane,
      waiting: lane === OTHER ? null : (counts.get(lane)?.waiting ?? 0),
      due: lane === OTHER ? null : (counts.get(lane)?.due ?? 0),
      inFlight: isLimited(lane) ? known.reduce((sum, { load }) => sum + (load?.lanes?.[lane] ?? 0), 0) : null,
      concurrency: isLimited(lane) ? perHost : null,
      hour: hour.get(lane) ?? new LaneTraffic(),
      minutes: minutes.flatMap(({ at, lanes }) => {
        const traffic = lanes.get(lane)
        return traffic === undefined ? [] : [{ at, traffic }]
      }),
    }))
  }

  return {
    async all() {
      const minutes = withBusiest(await readHour(deps))
      const traffic = mergeLanes(minutes.map(({ lanes }) => lanes))
      const busy = [...traffic.keys()].filter((lane) => lane !== OTHER)
      const found = await countLanes([...new Set(['', 'stream', ...busy])], MOST_LANES)
      const waiting = [...found.values()]
        .filter((each) => each.waiting > 0)
        .sort((a, b) => b.due - a.due || b.waiting - a.waiting)
        .map(({ lane }) => lane)
      const names = [...new Set([...waiting.slice(0, MOST_LANES), ...busy])]
      // A lane that is found in one shard may hold messages in others, too.
      const counts = shards() === 1 ? found : await countLanes(names, 0)
      const dueOf = (lane: string) => counts.get(lane)?.due ?? 0
      const volumeOf = (lane: string) => traffic.get(lane)?.volume ?? 0
      const order = names
        .sort((a, b) => dueOf(b) - dueOf(a) || volumeOf(b) - volumeOf(a))
        .slice(0, MOST_LANES)
      return report(traffic.has(OTHER) ? [...order, OTHER] : order, minutes, counts)
    },

    async one(lane) {
      const [minutes, counts] = await Promise.all([readHour(deps), countLanes([lane], 0)])
      const [only] = await report([lane], minutes, counts)
      if (only === undefined) throw new Error('a report of one lane has none')
      return only
    },
  }
}

/** The same minutes, all with the same lanes kept apart: the busiest of the hour. */
function withBusiest(minutes: readonly Minute[]): Minute[] {
  const kept = busiest(mergeLanes(minutes.map(({ lanes }) => lanes)))
  return minutes.map(({ at, lanes }) => ({
    at,
    lanes: mergeLanes(
      [...lanes].map(([lane, traffic]) => new Map([[kept.has(lane) ? lane : OTHER, traffic]])),
    ),
  }))
}
