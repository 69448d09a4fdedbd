import { type HourDeps, mergeLanes } from './hour.ts'
import { decodeLanes } from './lane-traffic.ts'
import { MINUTE_MS } from './recorder.ts'

/**
 * How many messages a second all servers delivered to a lane in the last whole minute; null if there were none, or too
 * few to be kept apart.
 *
 * @throws SchedulerError when Redis does not answer
 */
export async function perSecond(
  { scripts, now }: Pick<HourDeps, 'scripts' | 'now'>,
  lane: string,
): Promise<number | null> {
  const texts = await scripts.readTraffic(Math.floor(now() / MINUTE_MS) - 1)
  const delivered = mergeLanes(texts.map(decodeLanes)).get(lane)?.delivered ?? 0
  return delivered === 0 ? null : Math.round((delivered * 1_000_000) / MINUTE_MS) / 1_000
}
