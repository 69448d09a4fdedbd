import type { RecordForm } from '../domain/message.ts'

/**
 * The newer form is written once no server that reads only the older form was seen for this long. A server that is cut
 * off from Redis is missing from the list for a while, and continues later.
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
