import type { Retention, ScriptsOptions } from '../../src/store/script-values.ts'
import type { Delivered } from '../../src/store/scripts/settle.ts'
import type { ClaimRoom } from './claim-all.ts'

/** The retention of tests, unless they have their own. */
export const RETENTION: Retention = {
  historyMax: 1_000,
  historyTtlMs: 3_600_000,
  dedupWindowMs: 3_600_000,
  deadMax: 1_000,
  deadTtlMs: 86_400_000,
}

/** The settings of the scripts in tests, unless they have their own. */
export const SETTINGS: Omit<ScriptsOptions, 'namespace'> = {
  retention: RETENTION,
  retry: { attempts: 5, minMs: 1_000, maxMs: 3_600_000, factor: 2, jitter: 'full' },
  maxRecoveries: 3,
}

/** Room for `limit` messages of the main due set and of streams, and none of hosts and queues. */
export const mainRoom = (limit = 100): ClaimRoom => ({
  ...{ limit, streamLimit: limit, slots: 0, hostSlots: 0, reserve: 0 },
  lanes: new Map(),
})

/** Arguments of acknowledge, for ids delivered on time. */
export const delivered = (token: string, ...ids: string[]): Delivered[] =>
  ids.map((id) => ({ id, token, lateMs: 0 }))
