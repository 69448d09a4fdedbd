import type { Due, MessageOptions } from '../../../../src/domain/message.ts'
import type { ScheduleEntry } from '../../../../src/store/scripts/schedule.ts'

export interface Stored {
  dueAt: number
  payload: string
  options: MessageOptions
  version: number
  createdAt: number | null
  fingerprint: string | null
  failures: number
  recoveries: number
  /** what went wrong last, "" for nothing */
  reason: string
  reports: string[]
  state: 'scheduled' | 'claimed' | 'dead'
  /** when next due, lock end, given up at */
  score: number
  attemptDueAt: number
  /** the highest number of its claims so far */
  claim: number
  token: string
}
export interface Finished {
  readonly state: 'delivered' | 'dropped'
  readonly finishedAt: number
  readonly lateMs: number
  readonly message: Stored
}

export interface NewMessage {
  readonly rule: ScheduleEntry['rule']
  readonly due: Due
  readonly payload: unknown
  readonly options: MessageOptions
}
export interface Change {
  readonly due: Due | undefined
  readonly payload: unknown
  readonly options: { readonly [Name in keyof MessageOptions]: MessageOptions[Name] | undefined }
}
