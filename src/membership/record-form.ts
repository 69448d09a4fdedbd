import type { RecordForm } from '../domain/message.ts'

/**
 * So long no server that reads only the older form may have been seen before the newer one is written: one that was cut
 * off from Redis is not in the list for a while, and goes on where it was.
 */
export const QUIET_MS = 60_000

/** In which form a server stores destinations, while servers of an older version may be alive. */
export interface RecordFormChoice {
  /** @param oldest the oldest form that a server which is alive reads at most */
  observe(oldest: RecordForm): void
  current(): RecordForm
}

/** @param now monotonic ms */
export function createRecordFormChoice(now: () => number = () => performance.now()): RecordFormChoice {
  let quietSince: number | undefined
  let current: RecordForm = 1
  return {
    observe(oldest) {
      if (oldest === 1) quietSince = undefined
      else quietSince ??= now()
      current = quietSince !== undefined && now() - quietSince >= QUIET_MS ? 2 : 1
    },
    current: () => current,
  }
}
