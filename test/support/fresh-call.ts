import { randomUUID } from 'node:crypto'
import type { ScheduleCall } from '../../src/store/scripts/schedule.ts'

/** What makes a call of schedule one of its own. @param now by Redis's clock, epoch ms */
export const freshCall = (now = Date.now()): ScheduleCall => ({
  ...{ token: randomUUID(), runBy: now + 5_000, firstSentAt: null },
})
