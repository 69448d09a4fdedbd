import type { Logger } from 'pino'
import type { Metrics } from '../metrics.ts'
import type { ClaimReply } from '../redis/scripts.ts'
import { noteTrimmed } from '../settle/settle.ts'

export interface NoteDeps {
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Reports what a claim call did besides claiming. */
export function noteClaim({ logger, metrics }: NoteDeps, shard: number, reply: ClaimReply): void {
  const { claims, recovered, dropped, died, trimmed, moved } = reply
  if (claims.length > 0) metrics.claimed(claims.length)
  for (const lateMs of moved) metrics.deliveryStarted('stream', lateMs)
  if (moved.length > 0) metrics.delivered('stream', moved.length)
  if (recovered > 0) {
    metrics.recovered(recovered)
    logger.warn({ shard, count: recovered }, 'recovered claims that were not settled in time')
  }
  if (dropped > 0) logger.warn({ shard, count: dropped }, 'dropped messages that were past their notAfter')
  if (died > 0) {
    metrics.died(died)
    logger.warn({ shard, count: died }, 'messages became dead letters before they could be delivered')
  }
  noteTrimmed({ logger, metrics }, shard, trimmed)
}
