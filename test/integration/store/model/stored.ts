import { expect } from 'vitest'
import { decodeRecord } from '../../../../src/records/record.ts'
import type { FoundMessage } from '../../../../src/store/scripts/query.ts'
import type { Trial } from './trial.ts'
import type { Stored } from './types.ts'

export const attempts = (message: Stored | undefined) =>
  message === undefined || message.failures + message.recoveries === 0
    ? ''
    : `${message.failures} ${message.recoveries}`

export const failures = (message: Stored | undefined) =>
  message === undefined ? '' : [message.reason, ...message.reports].join('\n')

/** When a message was redriven no answer tells. */
export const withoutTimes = (notes: string) => notes.replaceAll(/"redriven":\d+/g, '"redriven":0')

/** What a record says, to be compared with the model's message. */
export function toStored(record: string) {
  const {
    dueAt,
    payload,
    version,
    createdAt,
    fingerprint,
    lane: _,
    ...options
  } = decodeRecord(record, 'optional')
  return { dueAt, payload, version, createdAt, options, fingerprint }
}

export function content(message: Stored | undefined) {
  if (message === undefined) throw new Error('the model has no such message')
  const { dueAt, payload, version, createdAt, options, fingerprint } = message
  return { dueAt, payload, version, createdAt, options, fingerprint }
}

export function expectSame(trial: Trial, id: string, found: FoundMessage | undefined): void {
  const message = trial.model.messages.get(id)
  expect(found).toMatchObject({ id, state: message?.state, score: message?.score })
  expect(found?.attemptCounts).toBe(attempts(message))
  expect(withoutTimes(found?.failures ?? '')).toBe(withoutTimes(failures(message)))
  expect(toStored(found?.record ?? '')).toEqual(content(message))
}
