import { expect } from 'vitest'
import { decodeHistoryEntry } from '../../../../src/records/history.ts'
import { checkKeys, type Dump } from '../../../support/invariants.ts'
import { ALL_IDS, HOSTS, LANES, QUARTER, TAGS } from './operations.ts'
import { openHeads } from './room.ts'
import { attempts, content, expectSame, failures, toStored, withoutTimes } from './stored.ts'
import type { Trial } from './trial.ts'
import type { Stored } from './types.ts'

/** Everything that is stored, against everything there should be. */
export async function compare(trial: Trial): Promise<void> {
  const { w, keys, model } = trial
  const now = await w.now()
  const all = await checkKeys(w, trial.shard)
  const inOrder = (members: readonly [string, Stored][]) =>
    members.map(([id, { score }]) => [id, String(score)])
  for (const state of ['claimed', 'dead'] as const) {
    expect([state, ...all.map(keys[state])]).toEqual([state, ...inOrder(model.inState(state))])
  }
  for (const lane of ['', ...LANES]) {
    const stored = all.map(keys.scheduled + (lane && `:${lane}`))
    expect([lane, ...stored]).toEqual([lane, ...inOrder(model.inLane(lane))])
  }
  const aside = inOrder(model.inState('scheduled').filter(([id]) => model.pauses.asides.has(id)))
  expect([...all.map(`${keys.scheduled}:paused`)]).toEqual(aside)
  expect(new Set(all.map(keys.messages).keys())).toEqual(new Set(model.messages.keys()))
  for (const [i, found] of (await w.scripts.find(trial.shard, ALL_IDS)).entries()) {
    const name = ALL_IDS[i] ?? ''
    expect([name, found?.state ?? 'unknown']).toEqual([name, model.stateOf(name, now)])
    if (model.messages.has(name)) expectSame(trial, name, found)
    const lock = all.string(keys.lockPrefix + name)
    expect([name, lock]).toEqual([name, model.messages.get(name)?.token || undefined])
    expect([name, all.string(keys.seenPrefix + name)]).toEqual([name, model.known.get(name)])
  }
  const tried = [...model.messages].filter(([, message]) => attempts(message) !== '')
  expect(new Set(all.map(keys.attempts).keys())).toEqual(new Set(tried.map(([id]) => id)))
  for (const tag of TAGS) {
    const members = [...model.messages]
      .filter(([, { state, options }]) => state !== 'dead' && options.tags?.includes(tag))
      .map(([id, message]): [string, number] => [
        id,
        message.state === 'claimed' ? message.attemptDueAt : message.score,
      ])
    const stored = [...all.map(keys.tagPrefix + tag)]
    expect([tag, new Map(stored.map(([id, score]) => [id, Number(score)]))]).toEqual([tag, new Map(members)])
  }
  for (const state of ['delivered', 'dropped'] as const) {
    const expected = [...model.history].filter(([, outcome]) => outcome.state === state)
    expect(all.map(keys[state])).toEqual(
      new Map(expected.map(([id, { finishedAt }]) => [id, String(finishedAt)])),
    )
    for (const [id, { message, finishedAt, lateMs }] of expected) {
      const entry = all.map(keys.history).get(id) ?? ''
      const { record, failures: notes, ...outcome } = decodeHistoryEntry(entry)
      expect(entry.startsWith(`${state} `)).toBe(true)
      expect(outcome).toEqual({ finishedAt, lateMs, attemptCounts: attempts(message) || '0 0' })
      expect(withoutTimes(notes)).toBe(withoutTimes(failures(message)))
      const kept = content(message)
      expect(toStored(record)).toEqual({
        ...kept,
        payload: message.payload.length > 1_024 ? '' : kept.payload,
      })
    }
  }
  expect(new Set(all.map(keys.history).keys())).toEqual(new Set(model.history.keys()))
  compareCancelled(trial, all, now)
  expect(new Set(all.set(keys.streams))).toEqual(new Set(model.streams.keys()))
  for (const [name, moved] of model.streams) {
    const entries = all.stream(keys.streamPrefix + name).map(([, { id, payload }]) => [id, payload])
    expect(entries).toEqual(moved)
  }
  await compareCounts(trial)
}

/** What is too old goes with the next cancel, or at the latest after the same time of Redis's own clock. */
function compareCancelled({ keys, model }: Trial, all: Dump, now: number): void {
  const expected = model.cancelled.remembered(now)
  const listed = [...all.map(keys.cancelled).keys()]
  expect([...all.map(keys.cancellations).keys()].sort()).toEqual([...listed].sort())
  expect(listed).toEqual(expect.arrayContaining([...expected.keys()]))
  for (const id of listed) expect(model.cancelled.all.has(id)).toBe(true)
  for (const [id, { message, finishedAt, by }] of expected) {
    expect([id, all.map(keys.cancelled).get(id)]).toEqual([id, String(finishedAt)])
    const entry = all.map(keys.cancellations).get(id) ?? ''
    const { record, failures: notes, ...rest } = decodeHistoryEntry(entry)
    const counts = { finishedAt, lateMs: 0, attemptCounts: attempts(message) || '0 0' }
    expect(rest).toEqual({ ...counts, ...(by === '' ? {} : { by }) })
    expect(withoutTimes(notes)).toBe(withoutTimes(failures(message)))
    expect(toStored(record).dueAt).toBe(message.dueAt)
  }
}

async function compareCounts(trial: Trial): Promise<void> {
  const { w, model } = trial
  const full = [`webhook:${HOSTS[0]}`]
  const before = await w.now()
  const counts = await w.scripts.count(trial.shard, full)
  const scheduled = model.inState('scheduled')
  expect(counts).toMatchObject({
    scheduled: scheduled.length,
    claimed: model.inState('claimed').length,
    dead: model.inState('dead').length,
    stranded: 0,
  })
  const due = scheduled.filter(([, { score }]) => score <= before)
  expect(counts.paused).toBe(due.filter((each) => model.pauses.holds(each)).length)
  const heads = [...openHeads(model)]
  const late = heads.filter(([lane]) => !lane.startsWith('pull:') && !full.includes(lane))
  for (const [counted, of] of [
    [counts.overdueMs, heads],
    [counts.lateMs, late],
  ] as const) {
    const expected = Math.max(0, ...of.map(([, head]) => before - head))
    expect(counted).toBeGreaterThanOrEqual(expected)
    expect(counted).toBeLessThan(expected + QUARTER)
  }
}
