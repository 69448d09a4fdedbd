import type { TrafficScripts } from '../store/scripts/traffic.ts'
import { decodeLanes, LaneTraffic } from './lane-traffic.ts'
import { MINUTE_MS, type TrafficRecorder } from './recorder.ts'

/** How many minutes can be asked for, the one that has begun among them. */
export const MINUTES = 60

export interface HourDeps {
  readonly scripts: Pick<TrafficScripts, 'readTraffic'>
  readonly recorder: Pick<TrafficRecorder, 'flush'>
  /** epoch ms by Redis's clock */
  readonly now: () => number
}

/** What all servers have delivered in one minute. */
export interface Minute {
  /** when it began, epoch ms */
  readonly at: number
  readonly lanes: ReadonlyMap<string, LaneTraffic>
}

/**
 * Reads the minutes of the last hour in which something was delivered, in order. This server writes first what it has:
 * what others delivered may be missing for 10 s.
 *
 * @throws SchedulerError when Redis does not answer
 */
export async function readHour({ scripts, recorder, now }: HourDeps): Promise<Minute[]> {
  await recorder.flush()
  const last = Math.floor(now() / MINUTE_MS)
  const numbers = Array.from({ length: MINUTES }, (_, i) => last - MINUTES + 1 + i)
  const texts = await Promise.all(numbers.map((minute) => scripts.readTraffic(minute)))
  return numbers.flatMap((minute, i) => {
    const lanes = mergeLanes((texts[i] ?? []).map(decodeLanes))
    return lanes.size === 0 ? [] : [{ at: minute * MINUTE_MS, lanes }]
  })
}

/** Adds up by lane. The arguments stay as they are. */
export function mergeLanes(all: readonly ReadonlyMap<string, LaneTraffic>[]): Map<string, LaneTraffic> {
  const merged = new Map<string, LaneTraffic>()
  for (const [lane, traffic] of all.flatMap((lanes) => [...lanes])) {
    const sum = merged.get(lane) ?? new LaneTraffic()
    sum.merge(traffic)
    merged.set(lane, sum)
  }
  return merged
}

/** All lanes in one. */
export function totalOf(lanes: ReadonlyMap<string, LaneTraffic>): LaneTraffic {
  const total = new LaneTraffic()
  for (const traffic of lanes.values()) total.merge(traffic)
  return total
}
