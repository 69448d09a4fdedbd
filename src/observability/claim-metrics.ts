import type { Logger } from 'pino'
import type { Metrics } from './metrics.ts'

export interface ClaimMetricsDeps {
  readonly logger: Logger
  readonly metrics: Metrics
}

/** What a claim call did, as far as it is counted. */
export interface ClaimEffects {
  readonly claims: readonly unknown[]
  readonly recovered: number
  readonly dropped: number
  readonly died: number
  readonly trimmed: number
}

/** Reports what a claim call did in addition to claiming. */
export function recordClaimMetrics(
  { logger, metrics }: ClaimMetricsDeps,
  shard: number,
  reply: ClaimEffects,
): void {
  const { claims, recovered, dropped, died, trimmed } = reply
  if (claims.length > 0) metrics.claimed(claims.length)
  if (recovered > 0) {
    metrics.recovered(recovered)
    logger.warn({ shard, count: recovered }, 'recovered claims that were not settled in time')
  }
  if (dropped > 0) logger.warn({ shard, count: dropped }, 'dropped messages that were past their notAfter')
  if (died > 0) {
    metrics.died(died)
    logger.warn({ shard, count: died }, 'messages became dead letters before they could be delivered')
  }
  recordTrimmed({ logger, metrics }, shard, trimmed)
}

/** Says that Redis was kept from filling with dead letters, at their cost. */
export function recordTrimmed(
  { logger, metrics }: { logger: Logger; metrics: Pick<Metrics, 'deadTrimmed'> },
  shard: number,
  count: number,
): void {
  if (count === 0) return
  metrics.deadTrimmed(count)
  logger.warn({ shard, count }, 'deleted dead letters beyond DEAD_MAX or DEAD_TTL_MS')
}
