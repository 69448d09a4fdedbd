import type { AttemptReport, Destination, Due, MessageOptions } from '../../src/domain/message.ts'
import { fingerprintOf } from '../../src/records/fingerprint.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import type { Claim } from '../../src/store/scripts/claim.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import type { ListQuery, Search } from '../../src/store/scripts/search.ts'
import type { Release } from '../../src/store/scripts/settle.ts'

export const HOUR_MS = 3_600_000

/** 9999-12-31T23:59:59.999Z */
export const LAST = 253_402_300_799_999

export const FIRST_MATCHES: Search = {
  index: 'scheduled',
  keep: {},
  direction: 'up',
  from: null,
  before: null,
  after: null,
  limit: 100,
  most: 1_000,
}

export const FIRST_PAGE: ListQuery = { ...FIRST_MATCHES, bytes: 1e9 }

export const ANY_STATE = ['scheduled', 'dead'] as const

export interface Draft {
  readonly due?: Due
  readonly payload?: unknown
  readonly options?: MessageOptions
}

/** An entry for `schedule`. An id that begins with "~" is one that the server made. */
export function entry(
  id: string,
  { due = { at: 1 }, payload = 'x', options = {} }: Draft = {},
): ScheduleEntry {
  const serverMade = id.startsWith('~')
  const fingerprint = serverMade ? undefined : fingerprintOf(due, JSON.stringify(payload), options)
  return {
    id,
    due,
    rule: serverMade ? 'any' : 'client',
    body: encodeRecordBody(JSON.stringify(payload), options, fingerprint),
  }
}

/** @returns `count` ids in order */
export const ids = (count: number, prefix = '~') =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(5, '0')}`)

export const webhook = (host: string, path = '/'): Destination => ({ type: 'webhook', url: host + path })

export const pull = (queue: string): Destination => ({ type: 'pull', queue })

export const report = (claim: number): AttemptReport => ({ at: 1, claim, durationMs: 2, error: 'no' })

/** A release of a failed delivery, to be retried after `delayMs`. */
export const postponed = (token: string, id: string, delayMs: number): Release => ({
  ...{ id, token, why: 'postponed', delayMs, reason: 'busy', report: '' },
})

export const rejected = (token: string, id: string, reason = 'status 404'): Release => ({
  ...{ id, token, why: 'rejected', reason, report: JSON.stringify(report(1)) },
})

export const returned = (token: string, { id, attemptDueAt }: Claim): Release => ({
  ...{ id, token, why: 'returned', dueAt: attemptDueAt },
})
