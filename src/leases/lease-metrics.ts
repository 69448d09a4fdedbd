import type { Metrics } from '../observability/metrics.ts'
import { laneOfQueue } from '../store/keys.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { AtQueue, Proven } from './lease.ts'

/** The lane for which leases count that a worker names. */
export const laneAt = (at: AtQueue | undefined): string =>
  at === undefined ? 'other' : laneOfQueue(at.queue)

/** Reports how long the leases lasted that were not lost. */
export function recordEnds(
  { metrics, clock }: { metrics: Pick<Metrics, 'ended'>; clock: Pick<RedisClock, 'now'> },
  held: readonly Proven[],
  lost: readonly string[],
  at: AtQueue | undefined,
): void {
  const now = clock.now()
  const ended = lost.length === 0 ? held : held.filter(({ id }) => !lost.includes(id))
  for (const { proof } of ended) metrics.ended(laneAt(at), { durationMs: Math.max(0, now - proof.leasedAt) })
}
