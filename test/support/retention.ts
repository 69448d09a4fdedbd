import type { Retention } from '../../src/redis/define-script.ts'
import type { Delivered } from '../../src/redis/scripts.ts'

/** How long finished messages are remembered in tests that do not say otherwise. */
export const RETENTION: Retention = { historyMax: 1_000, historyTtlMs: 3_600_000, dedupWindowMs: 3_600_000 }

/** What acknowledge takes, for ids delivered on time. */
export const delivered = (...ids: string[]): Delivered[] => ids.map((id) => ({ id, lateMs: 0 }))
