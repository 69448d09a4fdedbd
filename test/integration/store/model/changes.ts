import { expect } from 'vitest'
import type { RecordForm } from '../../../../src/domain/message.ts'
import { fingerprintOf } from '../../../../src/records/fingerprint.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../../../src/records/record.ts'
import type { ScheduleEntry } from '../../../../src/store/scripts/schedule.ts'
import type { Of } from './operations.ts'
import { LATEST, PAYLOADS, STEP } from './operations.ts'
import { expectSame } from './stored.ts'
import type { Trial } from './trial.ts'
import type { Change } from './types.ts'

/** Half of the messages are stored in the older form; a change stores the other one. */
const formOf = (id: string): RecordForm => (id.charCodeAt(id.length - 1) % 2 === 0 ? 1 : 2)

const ifMatch = (versions: readonly number[] | null) => versions?.join() ?? ''

export async function schedule(trial: Trial, { messages, again }: Of<'schedule'>): Promise<void> {
  // A server makes an id once: one that was delivered or dropped does not come again.
  const { history, cancelled } = trial.model
  const isFinished = (id: string) => history.has(id) || cancelled.all.has(id)
  const possible = messages.filter(({ id }) => !(id.startsWith('~') && isFinished(id)))
  const all = possible.map(({ id, future, content: { due, payload, options } }) => {
    const repeated = again ? trial.lastContent.get(id) : undefined
    const rule = id.startsWith('~') ? (future ? ('future' as const) : ('any' as const)) : ('client' as const)
    const fresh = {
      due: trial.dueOf(due),
      payload: PAYLOADS[payload],
      options: trial.optionsOf(options),
      rule,
    }
    return { id, ...(repeated ?? fresh) }
  })
  const entries = all.map(({ id, rule, due, payload, options }): ScheduleEntry => {
    const fingerprint = rule === 'client' ? fingerprintOf(due, JSON.stringify(payload), options) : undefined
    const body = encodeRecordBody(JSON.stringify(payload), options, fingerprint, formOf(id))
    return { id, rule, due, body }
  })
  const headsBefore = trial.model.heads()
  const { words, now, nextDueInMs } = await trial.w.scripts.schedule(trial.shard, entries)
  await trial.learn(now)
  const expected = all.map(({ id, ...content }) => trial.model.schedule(id, content, now))
  expect(words).toEqual(expected)
  const stored = all.filter((_, i) => words[i] === 'scheduled')
  for (const { id, ...content } of stored) trial.lastContent.set(id, content)
  await trial.expectHead(
    nextDueInMs,
    headsBefore,
    stored.map(({ id }) => id),
    now,
  )
  for (const word of words) trial.note(`schedule ${word}`)
}

export async function reschedule(
  trial: Trial,
  { id, due, payload, options, versions }: Of<'reschedule'>,
): Promise<void> {
  const { notAfterStep, ...rest } = options
  const change: Change = {
    due: due === undefined ? undefined : trial.dueOf(due),
    payload: payload === undefined ? undefined : PAYLOADS[payload],
    options: {
      ...rest,
      ...(rest.tags?.length === 0 ? { tags: undefined } : {}),
      ...('notAfterStep' in options
        ? { notAfter: notAfterStep === undefined ? undefined : trial.atStep(notAfterStep) }
        : {}),
    },
  }
  const headsBefore = trial.model.heads()
  const reply = await trial.w.scripts.reschedule(trial.shard, {
    id,
    ifMatch: ifMatch(versions),
    changes: {
      due: change.due ?? null,
      payload: payload === undefined ? null : JSON.stringify(PAYLOADS[payload]),
      options: encodeOptions(change.options, formOf(id) === 1 ? 2 : 1),
    },
  })
  const learned =
    reply.word === 'rescheduled' && change.due !== undefined && 'inMs' in change.due
      ? decodeRecord(reply.found.record).dueAt - change.due.inMs
      : null
  const word = trial.model.reschedule(id, change, versions, await trial.learn(learned))
  expect(reply.word).toBe(word)
  trial.note(`reschedule ${word}`)
  if (reply.word !== 'rescheduled') return
  expectSame(trial, id, reply.found)
  await trial.expectHead(reply.nextDueInMs, headsBefore, reply.found.state === 'scheduled' ? [id] : [])
}

export async function cancel(trial: Trial, operation: Of<'cancel'>): Promise<void> {
  const { ids, versions, states } = operation
  const now = await trial.w.now()
  const by = ids.length % 2 === 0 ? 'ops' : ''
  const expected = ids.map((id) => trial.model.cancel(id, versions, states, by, now))
  const args = { ids, ifMatch: ifMatch(versions), states, by }
  const words = await trial.w.scripts.cancel(trial.shard, args)
  expect(words).toEqual(expected)
  const cancelled = ids.filter((_, i) => words[i] === 'cancelled')
  if (cancelled.length > 0) {
    const [, at] = await trial.w.client.zrange(trial.keys.cancelled, '-1', '-1', 'WITHSCORES')
    trial.model.cancelled.trim(cancelled, await trial.learn(at ?? null))
  }
  for (const word of words) trial.note(`cancel ${word}`)
}

export async function shift(trial: Trial, operation: Of<'shift'>): Promise<void> {
  const { ids, bySteps } = operation
  const byMs = bySteps * STEP
  const headsBefore = trial.model.heads()
  const shifted = trial.model.shift(ids, byMs)
  const args = { ids, byMs, latest: LATEST }
  const reply = await trial.w.scripts.shift(trial.shard, args)
  expect(reply.shifted).toBe(shifted.length)
  expect(reply.notShifted).toEqual(ids.filter((id) => !shifted.includes(id)))
  await trial.expectHead(reply.nextDueInMs, headsBefore, shifted)
  if (shifted.length > 0) trial.note('shifted')
}

export async function redrive(trial: Trial, operation: Of<'redrive'>): Promise<void> {
  const { ids, fromStep, everySteps, before } = operation
  const from = fromStep === null ? null : trial.atStep(fromStep)
  const args = { ids, from, everyMs: everySteps * STEP + 0.5, before, by: 'ops' }
  const headsBefore = trial.model.heads()
  const reply = await trial.w.scripts.redrive(trial.shard, args)
  const start = from ?? (await trial.learn(reply.from))
  const unknown = trial.model.redrive(ids, args, start)
  expect(reply).toMatchObject({ processed: ids.length, from: start, unknown })
  const redriven = ids.filter((id) => !unknown.includes(id))
  await trial.expectHead(reply.nextDueInMs, headsBefore, redriven)
  if (redriven.length > 0) trial.note('redriven')
}
