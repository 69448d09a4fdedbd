import { describe, expect, it } from 'vitest'
import { timelineOf } from '../../../src/reasons/timeline.ts'
import type { FoundMessage } from '../../../src/store/scripts/query.ts'

const DUE = 1_730_104_372_243
const record = (options: object, payload = '"x"') => `${DUE}${JSON.stringify(options)}\n${payload}`
const found = (more: Partial<FoundMessage>): FoundMessage => ({
  ...{ id: 'a', state: 'scheduled', score: DUE, record: record({ c: String(DUE - 1_000) }) },
  ...{ attemptCounts: '', failures: '' },
  ...more,
})
const report = (at: number, more: object = {}) =>
  JSON.stringify({ at, claim: 7, durationMs: 5, status: 503, ...more })
const events = (message: FoundMessage, now = DUE + 60_000) =>
  timelineOf(message, now).map(({ event }) => event)

describe('the timeline of a message', () => {
  it('is due once its time has come', () => {
    expect(events(found({}), DUE - 1)).toEqual(['created'])
    expect(events(found({}), DUE)).toEqual(['created', 'due'])
  })

  it('tells of changes, with version and key', () => {
    const changed = record({ c: String(DUE - 1_000), h: [`2 ${DUE - 500} ops`, `3 ${DUE - 400}`, 'garbage'] })
    expect(timelineOf(found({ record: changed }), DUE - 1).slice(1)).toEqual([
      { event: 'changed', at: DUE - 500, version: 2, by: 'ops' },
      { event: 'changed', at: DUE - 400, version: 3 },
    ])
  })

  it('numbers attempts and recoveries from the end', () => {
    const failures = [
      'status 503',
      report(DUE + 3, { server: 'one', body: 'busy' }),
      `{"recovered":${DUE + 30}}`,
      report(DUE + 40, { error: 'answered 503' }),
    ].join('\n')
    const entries = timelineOf(found({ failures, attemptCounts: '3 1' }), DUE + 60_000)
    expect(entries.slice(2)).toEqual([
      {
        ...{ at: DUE + 3, event: 'attempt', attempt: 2, claim: 7, durationMs: 5, status: 503, lateMs: 3 },
        ...{ server: 'one', body: 'busy' },
      },
      { at: DUE + 30, event: 'recovered', attempt: 3 },
      {
        ...{ at: DUE + 40, event: 'attempt', attempt: 4, claim: 7, durationMs: 5, status: 503, lateMs: 40 },
        reason: 'answered 503',
      },
    ])
  })

  it('tells of the successful attempt, and of the end', () => {
    const delivered = record({ a: '9 12 204 one', c: String(DUE - 1_000) })
    const entry = `delivered ${DUE + 20} 4 1 0\n${delivered}\nstatus 503\n${report(DUE + 1)}`
    const entries = timelineOf(found({ state: 'delivered', score: DUE + 20, record: entry }), DUE + 60_000)
    expect(entries.map(({ event }) => event)).toEqual(['created', 'due', 'attempt', 'attempt', 'delivered'])
    expect(entries.slice(3)).toEqual([
      {
        ...{ at: DUE + 4, event: 'attempt', attempt: 2, lateMs: 4, claim: 9, durationMs: 12, status: 204 },
        server: 'one',
      },
      { at: DUE + 20, event: 'delivered', lateMs: 4 },
    ])
  })

  it('leaves out of the successful attempt what is not known', () => {
    const entry = `delivered ${DUE + 20} 4 0 0\n${record({ a: '- 0 - one' })}`
    const [, attempt] = timelineOf(
      found({ state: 'delivered', score: DUE + 20, record: entry }),
      DUE + 60_000,
    )
    expect(attempt).toEqual({
      at: DUE + 4,
      event: 'attempt',
      attempt: 1,
      lateMs: 4,
      durationMs: 0,
      server: 'one',
    })
  })

  it('tells who cancelled it, and is not due then if that was before', () => {
    const entry = `cancelled ${DUE - 10} 0 0 0 ops\n${record({ c: String(DUE - 1_000) })}`
    expect(timelineOf(found({ state: 'cancelled', score: DUE - 10, record: entry }), DUE + 60_000)).toEqual([
      { at: DUE - 1_000, event: 'created' },
      { at: DUE - 10, event: 'cancelled', by: 'ops' },
    ])
  })

  it('tells when it was dead and redriven, and counts attempts from there', () => {
    const failures = [
      'status 503',
      report(DUE + 1),
      `{"redriven":${DUE + 50},"dead":${DUE + 6},"reason":"status 410","by":"ops"}`,
      report(DUE + 55),
    ].join('\n')
    const dead = found({ state: 'dead', score: DUE + 60, failures, attemptCounts: '1 0' })
    expect(timelineOf(dead, DUE + 60_000).slice(2)).toEqual([
      expect.objectContaining({ at: DUE + 1, event: 'attempt' }),
      { at: DUE + 6, event: 'dead', reason: 'status 410' },
      { at: DUE + 50, event: 'redriven', by: 'ops' },
      expect.objectContaining({ at: DUE + 55, event: 'attempt', attempt: 1 }),
      { at: DUE + 60, event: 'dead', reason: 'status 503' },
    ])
    expect(timelineOf(dead, DUE + 60_000)[2]).not.toHaveProperty('attempt')
  })

  it('is what went wrong, where the message is unreadable', () => {
    const failures = `status 503\n${report(DUE + 1)}`
    expect(events(found({ record: 'garbage', failures }))).toEqual(['attempt'])
  })

  it('is empty where only the id is known', () => {
    expect(timelineOf(found({ state: 'delivered', score: null, record: 'fingerprint' }), DUE)).toEqual([])
  })
})
