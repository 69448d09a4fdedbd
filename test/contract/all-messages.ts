import { describeChanges } from './change.contract.ts'
import { describeDeadGroups } from './dead-groups.contract.ts'
import { describeDueNow } from './due-now.contract.ts'
import { describeEvents } from './events.contract.ts'
import { describeForecastAndCount } from './forecast-and-count.contract.ts'
import { describeHeartbeat } from './heartbeat.contract.ts'
import { describeHistory } from './history.contract.ts'
import { describeIds } from './ids.contract.ts'
import { describeNotAfter } from './not-after.contract.ts'
import { describeOperations } from './operations.contract.ts'
import { describeQueries } from './query.contract.ts'
import { describeReasons } from './reasons.contract.ts'
import { describeSearches } from './search.contract.ts'
import { describeShifts } from './shift.contract.ts'
import { describeTags } from './tags.contract.ts'

/** Every contract of the scripts that look at messages and change them. */
export const MESSAGES = [
  describeIds,
  describeTags,
  describeNotAfter,
  describeHistory,
  describeQueries,
  describeReasons,
  describeSearches,
  describeDeadGroups,
  describeChanges,
  describeDueNow,
  describeShifts,
  describeForecastAndCount,
  describeHeartbeat,
  describeOperations,
  describeEvents,
]
