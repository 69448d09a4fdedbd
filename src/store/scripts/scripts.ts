import type { Cluster, Redis } from 'ioredis'
import { scriptContext } from '../define-script.ts'
import type { ScriptsOptions } from '../script-values.ts'
import { type AskedScripts, askedScripts } from './asked.ts'
import { type ChangeScripts, changeScripts } from './change.ts'
import { type ClaimScripts, claimScripts } from './claim.ts'
import { type MembershipScripts, membershipScripts } from './membership.ts'
import { type OperationScripts, operationScripts } from './operations.ts'
import { type PauseScripts, pauseScripts } from './pauses.ts'
import { type QueryScripts, queryScripts } from './query.ts'
import { type ReasonScripts, reasonScripts } from './reasons.ts'
import { type ScheduleScripts, scheduleScripts } from './schedule.ts'
import { type SearchScripts, searchScripts } from './search.ts'
import { type SettleScripts, settleScripts } from './settle.ts'
import { type TrafficScripts, trafficScripts } from './traffic.ts'

/** The scripts of the service, each with its contract in the file of its act; those of the audit are apart. */
export type Scripts = ScheduleScripts &
  ClaimScripts &
  SettleScripts &
  ChangeScripts &
  QueryScripts &
  SearchScripts &
  PauseScripts &
  OperationScripts &
  ReasonScripts &
  MembershipScripts &
  AskedScripts &
  TrafficScripts

/** Defines the scripts on a client, once, and returns them as methods. @throws Error as Define says */
export function createScripts(client: Redis | Cluster, options: ScriptsOptions): Scripts {
  const context = scriptContext(client, options)
  return {
    ...scheduleScripts(context),
    ...claimScripts(context),
    ...settleScripts(context),
    ...changeScripts(context),
    ...queryScripts(context),
    ...searchScripts(context),
    ...pauseScripts(context, client, options),
    ...operationScripts(client, options),
    ...reasonScripts(context),
    ...membershipScripts(client, options),
    ...trafficScripts(client, context, options),
    ...askedScripts(client, options),
  }
}
