import { describeAcknowledgeAndExtend } from './acknowledge-and-extend.contract.ts'
import { describeClaim } from './claim.contract.ts'
import { describeDeadLetterLimits } from './dead-letter-limits.contract.ts'
import { describeDeadLetters } from './dead-letters.contract.ts'
import { describeExpiredClaims } from './expired-claims.contract.ts'
import { describeHostClaims } from './host-claims.contract.ts'
import { describeLaneClaims } from './lane-claims.contract.ts'
import { describeLaneWakes } from './lane-wakes.contract.ts'
import { describeLanes } from './lanes.contract.ts'
import { describePauseLists } from './pause-lists.contract.ts'
import { describePausedTags } from './paused-tags.contract.ts'
import { describePauses } from './pauses.contract.ts'
import { describeReleases } from './releases.contract.ts'
import { describeResuming } from './resuming.contract.ts'
import { describeRetries } from './retries.contract.ts'
import { describeSchedule } from './schedule.contract.ts'
import { describeStreams } from './streams.contract.ts'

/** Every contract of the scripts on a message's way: scheduled, claimed, delivered or dead. */
export const CLAIMS = [
  describeSchedule,
  describeClaim,
  describeLanes,
  describeLaneWakes,
  describeLaneClaims,
  describeHostClaims,
  describeRetries,
  describeReleases,
  describeExpiredClaims,
  describeAcknowledgeAndExtend,
  describeDeadLetters,
  describeDeadLetterLimits,
  describeStreams,
  describePauses,
  describePausedTags,
  describeResuming,
  describePauseLists,
]
