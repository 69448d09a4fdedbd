import { setMaxListeners } from 'node:events'
import { createSenders } from '../destinations/registry.ts'
import { createClaimTokens } from '../domain/claim-token.ts'
import { createShardOwnership } from '../membership/ownership.ts'
import { recentLoopDelayMs } from '../observability/process-metrics.ts'
import { Claimers } from '../worker/claimers.ts'
import { createDispatcher } from '../worker/dispatcher.ts'
import { createLockKeeper } from '../worker/lock-keeper.ts'
import { type ServerLoadDeps, serverLoad } from '../worker/server-load.ts'
import { SettleQueue } from '../worker/settle-queue.ts'
import { createSlots } from '../worker/slots.ts'
import type { Config } from './config.ts'
import type { Parts } from './parts.ts'

/** How many webhooks a server may have in flight. */
export const capacityOf = ({ ROLES, DELIVERY_CONCURRENCY }: Config): number =>
  ROLES.includes('worker') ? DELIVERY_CONCURRENCY : 0

/** What claims and delivers; starts none of it. */
export function composeWorker(parts: Parts) {
  const { config, logger, clock, scripts, metrics, events, shardMap, serverId } = parts
  const lockMs = config.LOCK_TTL_MS
  const ending = new AbortController()
  setMaxListeners(0, ending.signal) // each batch in flight listens, of any number of shards
  const slots = createSlots({
    total: config.DELIVERY_CONCURRENCY,
    perHost: config.HOST_CONCURRENCY,
    onFree: () => claimers.slotFreed(),
  })
  const sender = createSenders(parts.destinations)
  const settleQueue = new SettleQueue({ scripts, logger, metrics, events, clock }, ending.signal)
  const lockKeeper = createLockKeeper({ scripts, lockMs, logger, metrics })
  const dispatcher = createDispatcher({ sender, slots, lockKeeper, settleQueue, metrics }, ending.signal)
  const ownership = createShardOwnership(serverId, () => shardMap.all)
  const claimers = new Claimers({
    ...{ ...parts, dispatcher, settleQueue, slots, ownership, lockMs, ending },
    limit: config.CLAIM_BATCH,
    nextToken: createClaimTokens(serverId, parts.clock.now),
  })
  const loadDeps: ServerLoadDeps = {
    ...{ slots, dispatcher, loopDelayMs: recentLoopDelayMs, now: parts.clock.now },
    capacity: capacityOf(config),
    perHost: config.HOST_CONCURRENCY,
  }
  const load = (saturated: readonly string[]) => serverLoad(loadDeps, saturated)
  return { claimers, sender, slots, ownership, load }
}
