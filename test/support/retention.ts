import type { Retention, ScriptsOptions } from '../../src/store/script-values.ts'
import type { Delivered } from '../../src/store/scripts/settle.ts'
import type { ClaimRoom } from './claim-all.ts'

/** How long what is no longer scheduled is kept in tests that do not say otherwise. */
export const RETENTION: Retention = {
  historyMax: 1_000,
  historyTtlMs: 3_600_000,
  dedupWindowMs: 3_600_000,
  deadMax: 1_000,
  deadTtlMs: 86_400_000,
}

/** What the scripts are told in tests that do not say otherwise. */
export const SETTINGS: Omit<ScriptsOptions, 'namespace'> = {
  retention: RETENTION,
  retry: { attempts: 5, minMs: 1_000, maxMs: 3_600_000, factor: 2, jitter: 'full' },
  maxRecoveries: 3,
}

/** Room for so many messages for the console, and for streams, and none of any host or queue. */
export const mainRoom = (limit = 100): ClaimRoom => ({
  ...{ limit, streamLimit: limit, slots: 0, hostSlots: 0, reserve: 0 },
  lanes: new Map(),
})

/** What acknowledge takes, for ids delivered on time. */
export const delivered = (token: string, ...ids: string[]): Delivered[] =>
  ids.map((id) => ({ id, token, lateMs: 0 }))
