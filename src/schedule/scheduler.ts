import { encodeRecordBody } from '../message.ts'
import type { GroupCommit } from './group-commit.ts'

export interface NewMessage {
  /** any JSON value */
  readonly payload: unknown
  /** epoch ms; has to be in the future by Redis's clock */
  readonly dueAt: number
}

export interface Scheduler {
  /**
   * Schedules a message for delivery at, and never before, its due time.
   *
   * @returns the message's id, once Redis has confirmed it
   * @throws SchedulerError DUE_TIME_PASSED  `dueAt` was not in the future; nothing was stored
   * @throws SchedulerError STORE_FULL  Redis is out of memory; nothing was stored
   * @throws SchedulerError STORE_UNAVAILABLE  Redis did not confirm; the message may or may not be stored
   * @see lua/schedule.lua
   */
  schedule(message: NewMessage): Promise<string>
}

export function createScheduler(groupCommit: GroupCommit): Scheduler {
  return {
    schedule({ payload, dueAt }) {
      return groupCommit.add({ dueAt, rule: 'future', body: encodeRecordBody(JSON.stringify(payload)) })
    },
  }
}
