import type { Logger } from 'pino'

/** Shards on one lost master fail within this of each other, and are told of in one line. */
const COLLECT_MS = 250

/** Tells of shards that cannot be claimed from, and of those that can again: once each, not at every try. */
export interface ClaimErrorLog {
  failed(shard: number, error: unknown): void
  recovered(shard: number): void
}

export function createClaimErrorLog(logger: Logger): ClaimErrorLog {
  const failing = new Set<number>()
  let newlyFailing: number[] = []
  let newlyRecovered: number[] = []
  let lastError: unknown
  let timer: NodeJS.Timeout | undefined

  const log = () => {
    timer = undefined
    if (newlyFailing.length > 0)
      logger.error({ shards: newlyFailing, err: lastError }, 'claims fail; retrying')
    if (newlyRecovered.length > 0) logger.info({ shards: newlyRecovered }, 'claims succeed again')
    newlyFailing = []
    newlyRecovered = []
  }
  const logSoon = () => {
    if (timer === undefined) timer = setTimeout(log, COLLECT_MS).unref()
  }

  return {
    failed(shard, error) {
      if (failing.has(shard)) return
      failing.add(shard)
      newlyFailing.push(shard)
      lastError = error
      logSoon()
    },
    recovered(shard) {
      if (!failing.delete(shard)) return
      newlyRecovered.push(shard)
      logSoon()
    },
  }
}
