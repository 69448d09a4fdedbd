import { randomUUID } from 'node:crypto'
import type { ScheduleCall } from '../../src/store/scripts/schedule.ts'

/** The identity of a new call of `schedule`. @param now Redis's clock, epoch ms */
export const freshCall = (now = Date.now()): ScheduleCall => ({
  ...{ token: randomUUID(), runBy: now + 5_000, firstSentAt: null },
})
