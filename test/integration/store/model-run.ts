import { expect } from 'vitest'
import type { Due, MessageOptions, RecordForm } from '../../../src/domain/message.ts'
import { fingerprintOf } from '../../../src/records/fingerprint.ts'
import { decodeHistoryEntry } from '../../../src/records/history.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../../src/records/record.ts'
import { keysOf, type ShardKeys } from '../../../src/store/keys.ts'
import type { FoundMessage } from '../../../src/store/scripts/query.ts'
import type { ScheduleEntry } from '../../../src/store/scripts/schedule.ts'
import type { Release } from '../../../src/store/scripts/settle.ts'
import { WIDE, workerRoom } from '../../support/acts.ts'
import { type ClaimRoom, claimAll, roomsOf } from '../../support/claim-all.ts'
import { checkKeys, dump, laneOf } from '../../support/invariants.ts'
import type { ScriptWorld } from '../../support/script-world.ts'
import { type Change, Model, type NewMessage, type Stored } from './model.ts'
import {
  ALL_IDS,
  type AnyDue,
  type AnyOptions,
  CLIENT_IDS,
  HALF,
  HOSTS,
  LANES,
  LATEST,
  LOCK_MS,
  type Operation,
  OUR_SETTINGS,
  PAYLOADS,
  QUARTER,
  type Releasing,
  type Reschedule,
  type Schedule,
  STEP,
  TAGS,
} from './model-operations.ts'

/** Half of the messages are stored in the older form; a change stores the other one. */
const formOf = (id: string): RecordForm => (id.charCodeAt(id.length - 1) % 2 === 0 ? 1 : 2)

/** One run: every operation on the scripts and on the model, in a shard of its own. */
export class Run {
  private readonly model = new Model(OUR_SETTINGS)
  private readonly keys: ShardKeys
  /** the newest first */
  private readonly claims: { token: string; ids: string[] }[] = []
  private readonly lastContent = new Map<string, NewMessage>()
  private readonly w: ScriptWorld
  private readonly shard: number
  private readonly base: number
  /** how often there was which answer */
  private readonly seen: Map<string, number>

  constructor(w: ScriptWorld, shard: number, base: number, seen: Map<string, number>) {
    this.w = w
    this.shard = shard
    this.base = base
    this.seen = seen
    this.keys = keysOf(shard, w.namespace)
  }

  private readonly atStep = (step: number) => this.base + step * STEP + HALF
  private readonly dueOf = (any: AnyDue): Due =>
    'atStep' in any ? { at: this.atStep(any.atStep) } : { inMs: any.inSteps * STEP + QUARTER }
  private optionsOf({ notAfterStep, ...rest }: AnyOptions) {
    const defined = Object.entries(rest).filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    return {
      ...Object.fromEntries(defined),
      ...(notAfterStep === undefined ? {} : { notAfter: this.atStep(notAfterStep) }),
    } as MessageOptions
  }
  private note(word: string) {
    this.seen.set(word, (this.seen.get(word) ?? 0) + 1)
  }

  async do(operation: Operation): Promise<void> {
    switch (operation.do) {
      case 'schedule':
        return this.schedule(operation)
      case 'reschedule':
        return this.reschedule(operation)
      case 'cancel': {
        const { ids, versions, states } = operation
        const now = await this.w.now()
        const expected = ids.map((id) => this.model.cancel(id, versions, states, now))
        const words = await this.w.scripts.cancel(this.shard, {
          ids,
          ifMatch: ifMatch(versions),
          states,
        })
        expect(words).toEqual(expected)
        for (const word of words) this.note(`cancel ${word}`)
        return
      }
      case 'shift': {
        const { ids, bySteps } = operation
        const byMs = bySteps * STEP
        const headsBefore = this.model.heads()
        const shifted = this.model.shift(ids, byMs)
        const args = { ids, byMs, latest: LATEST }
        const reply = await this.w.scripts.shift(this.shard, args)
        expect(reply.shifted).toBe(shifted.length)
        await this.expectHead(reply.nextDueInMs, headsBefore, shifted)
        if (shifted.length > 0) this.note('shifted')
        return
      }
      case 'claim':
        for (const room of roomsOf(operation.room)) await this.claim(room)
        return
      case 'acknowledge': {
        const { token, ids } = this.pick(operation)
        const delivered = ids.map((id, i) => ({ id, token, lateMs: i * 7 }))
        const lost = await this.w.scripts.acknowledge(this.shard, delivered)
        const owned = delivered.filter((each) => this.model.owns(each))
        // Nothing finished later; where what finished in the same ms has filled the history, that tells the time.
        const { delivered: newest, dropped } = this.keys
        const last = await Promise.all(
          [newest, dropped].map((key) => this.w.client.zrange(key, '-1', '-1', 'WITHSCORES')),
        )
        const at = Math.max(...last.map(([, score]) => Number(score ?? 0)))
        const now = await this.learn(owned.length === 0 ? null : at)
        expect(lost).toEqual(this.model.acknowledge(delivered, now))
        this.note(owned.length > 0 ? 'acknowledged' : 'lost')
        return
      }
      case 'extend': {
        const { token, ids } = this.pick(operation)
        const held = ids.map((id) => ({ id, token }))
        const lost = await this.w.scripts.extend(this.shard, { held, lockMs: LOCK_MS })
        const owned = held.filter((each) => this.model.owns(each))
        const ends = owned[0] && (await this.w.client.zscore(this.keys.claimed, owned[0].id))
        const now = await this.learn(ends ? Number(ends) - LOCK_MS : null)
        expect(lost).toEqual(this.model.extend(held, LOCK_MS, now))
        this.note(owned.length > 0 ? 'extended' : 'lost')
        return
      }
      case 'release':
        return this.release(operation)
      case 'redrive': {
        const { ids, fromStep, everySteps, before } = operation
        const from = fromStep === null ? null : this.atStep(fromStep)
        const args = { ids, from, everyMs: everySteps * STEP + 0.5, before }
        const headsBefore = this.model.heads()
        const reply = await this.w.scripts.redrive(this.shard, args)
        const start = from ?? (await this.learn(reply.from))
        const unknown = this.model.redrive(ids, args, start)
        expect(reply).toMatchObject({ processed: ids.length, from: start, unknown })
        const redriven = ids.filter((id) => !unknown.includes(id))
        await this.expectHead(reply.nextDueInMs, headsBefore, redriven)
        if (redriven.length > 0) this.note('redriven')
        return
      }
      case 'pass':
        return this.w.pass(operation.steps * STEP)
      case 'forget':
        // The dedup window is a key that ends by itself, by Redis's own clock, which no test can move.
        this.model.known.clear()
        await this.w.client.del(...CLIENT_IDS.map((id) => this.keys.seenPrefix + id))
        return
      default:
        operation satisfies never
    }
  }

  private async schedule({ messages, again }: Schedule): Promise<void> {
    // A server makes an id once: one that was delivered or dropped does not come again.
    const possible = messages.filter(({ id }) => !(id.startsWith('~') && this.model.history.has(id)))
    const all = possible.map(({ id, future, content: { due, payload, options } }) => {
      const repeated = again ? this.lastContent.get(id) : undefined
      const rule = id.startsWith('~')
        ? future
          ? ('future' as const)
          : ('any' as const)
        : ('client' as const)
      const fresh = {
        due: this.dueOf(due),
        payload: PAYLOADS[payload],
        options: this.optionsOf(options),
        rule,
      }
      return { id, ...(repeated ?? fresh) }
    })
    const entries = all.map(({ id, rule, due, payload, options }): ScheduleEntry => {
      const fingerprint = rule === 'client' ? fingerprintOf(due, JSON.stringify(payload), options) : undefined
      const body = encodeRecordBody(JSON.stringify(payload), options, fingerprint, formOf(id))
      return { id, rule, due, body }
    })
    const headsBefore = this.model.heads()
    const { words, now, nextDueInMs } = await this.w.scripts.schedule(this.shard, entries)
    await this.learn(now)
    const expected = all.map(({ id, ...content }) => this.model.schedule(id, content, now))
    expect(words).toEqual(expected)
    const stored = all.filter((_, i) => words[i] === 'scheduled')
    for (const { id, ...content } of stored) this.lastContent.set(id, content)
    await this.expectHead(
      nextDueInMs,
      headsBefore,
      stored.map(({ id }) => id),
      now,
    )
    for (const word of words) this.note(`schedule ${word}`)
  }

  private async reschedule({ id, due, payload, options, versions }: Reschedule): Promise<void> {
    const { notAfterStep, ...rest } = options
    const change: Change = {
      due: due === undefined ? undefined : this.dueOf(due),
      payload: payload === undefined ? undefined : PAYLOADS[payload],
      options: {
        ...rest,
        ...(rest.tags?.length === 0 ? { tags: undefined } : {}),
        ...('notAfterStep' in options
          ? { notAfter: notAfterStep === undefined ? undefined : this.atStep(notAfterStep) }
          : {}),
      },
    }
    const headsBefore = this.model.heads()
    const reply = await this.w.scripts.reschedule(this.shard, {
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
    const word = this.model.reschedule(id, change, versions, await this.learn(learned))
    expect(reply.word).toBe(word)
    this.note(`reschedule ${word}`)
    if (reply.word !== 'rescheduled') return
    this.expectSame(id, reply.found)
    await this.expectHead(reply.nextDueInMs, headsBefore, reply.found.state === 'scheduled' ? [id] : [])
  }

  private async release(operation: Releasing): Promise<void> {
    const { token, ids } = this.pick(operation)
    const laterMs = operation.steps * STEP + QUARTER
    const releases = ids.map((id, i): Release => {
      const why = operation.kinds[i % operation.kinds.length] ?? 'failed'
      const said = { id, token, reason: `no ${i}`, report: i % 2 === 0 ? `{"at":${i}}` : '' }
      if (why === 'failed') return { ...said, why, retryAfterMs: operation.steps === 0 ? 0 : laterMs }
      if (why === 'postponed') return { ...said, why, delayMs: laterMs }
      if (why === 'rejected') return { ...said, why }
      return { id, token, why, dueAt: this.model.messages.get(id)?.attemptDueAt ?? 0 }
    })
    const owned = releases.filter((each) => this.model.owns(each))
    const waiting = owned.find((each) => this.model.waitOf(each) !== null)
    const reply = await this.w.scripts.release(this.shard, releases)
    // The time is told by when one is due again, or by when the last was given up: the bound leaves that one.
    let clock: number | null = null
    if (waiting !== undefined) {
      const [found] = await this.w.scripts.find(this.shard, [waiting.id])
      clock = (found?.score ?? 0) - (this.model.waitOf(waiting) ?? 0)
    } else if (reply.words.includes('dead')) {
      const [, last] = await this.w.client.zrange(this.keys.dead, '-1', '-1', 'WITHSCORES')
      clock = Number(last)
    }
    expect(reply).toEqual(this.model.release(releases, await this.learn(clock)))
    if (reply.trimmed > 0) this.note('trimmed')
    for (const [i, word] of reply.words.entries()) this.note(`${releases[i]?.why} ${word}`)
  }

  private async claim(room: ClaimRoom): Promise<void> {
    const token = `t${this.claims.length}`
    const reply = await claimAll(this.w.scripts, this.shard, { token, lockMs: LOCK_MS, room })
    await this.learn(reply.now)
    const { claimed, ...rest } = this.model.claim(token, LOCK_MS, room, reply.now)
    expect(reply.claims.map(({ id }) => id)).toEqual(claimed)
    expect(reply).toMatchObject(rest)
    for (const { id, attemptDueAt, record, failures, recoveries, number } of reply.claims) {
      const message = this.model.messages.get(id)
      expect({ attemptDueAt, failures, recoveries, number }).toEqual({
        attemptDueAt: message?.attemptDueAt,
        failures: message?.failures,
        recoveries: message?.recoveries,
        number: message?.claim,
      })
      expect(toStored(record)).toEqual(content(message))
    }
    if (claimed.length > 0) this.claims.unshift({ token, ids: claimed })
    const { moved, heldBack, recovered, dropped, died, trimmed } = rest
    const counts = { recovered, dropped, died, trimmed, moved: moved.length, heldBack: Number(heldBack) }
    for (const [what, count] of Object.entries({ claimed: claimed.length, ...counts })) {
      if (count > 0) this.note(what)
    }
  }

  private pick({ held, claim, mask }: { held: boolean; claim: number; mask: number }) {
    const holds = ({ token, ids }: { token: string; ids: string[] }) =>
      !held || ids.some((id) => this.model.owns({ id, token }))
    const { token, ids } = this.claims.filter(holds)[claim] ??
      this.claims.find(holds) ?? { token: 'nobody', ids: ALL_IDS }
    return { token, ids: ids.filter((_, i) => (mask >> (i % 8)) & 1) }
  }

  /** @returns the clock as a script has read it, which cannot be far from where it was left; null: about now */
  private async learn(clock: string | number | null): Promise<number> {
    const now = await this.w.now()
    if (clock === null) return now
    expect(now - Number(clock)).toBeGreaterThanOrEqual(0)
    expect(now - Number(clock)).toBeLessThan(QUARTER)
    return Number(clock)
  }

  /** The head moved if one of the changed messages is sooner than all that were in its lane; queues do not count. */
  private async expectHead(
    inMs: number | null,
    before: ReadonlyMap<string, number>,
    changed: readonly string[],
    now?: number,
  ): Promise<void> {
    const sooner = changed.flatMap((id) => {
      const { options, score } = this.model.messages.get(id) ?? { options: {}, score: 0 }
      const lane = laneOf(options)
      const head = before.get(lane)
      return lane.startsWith('pull:') || (head !== undefined && head <= score) ? [] : [score]
    })
    if (sooner.length === 0) return expect(inMs).toBeNull()
    const expected = Math.max(0, Math.min(...sooner) - (now ?? (await this.w.now())))
    expect(inMs).toBeGreaterThanOrEqual(expected)
    expect(inMs).toBeLessThan(expected + QUARTER)
  }

  private expectSame(id: string, found: FoundMessage | undefined): void {
    const message = this.model.messages.get(id)
    expect(found).toMatchObject({ id, state: message?.state, score: message?.score })
    expect(found?.attemptCounts).toBe(attempts(message))
    expect(found?.failures).toBe(failures(message))
    expect(toStored(found?.record ?? '')).toEqual(content(message))
  }

  /** Everything that is stored, against everything there should be. */
  async compare(): Promise<void> {
    const { w, keys, model } = this
    const now = await w.now()
    const all = await checkKeys(w, this.shard)
    const inOrder = (members: readonly [string, Stored][]) =>
      members.map(([id, { score }]) => [id, String(score)])
    for (const state of ['claimed', 'dead'] as const) {
      expect([state, ...all.map(keys[state])]).toEqual([state, ...inOrder(model.inState(state))])
    }
    for (const lane of ['', ...LANES]) {
      const stored = all.map(keys.scheduled + (lane && `:${lane}`))
      expect([lane, ...stored]).toEqual([lane, ...inOrder(model.inLane(lane))])
    }
    expect(new Set(all.map(keys.messages).keys())).toEqual(new Set(model.messages.keys()))
    for (const [i, found] of (await w.scripts.find(this.shard, ALL_IDS)).entries()) {
      const name = ALL_IDS[i] ?? ''
      expect([name, found?.state ?? 'unknown']).toEqual([name, model.stateOf(name, now)])
      if (model.messages.has(name)) this.expectSame(name, found)
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
      expect([tag, new Map(stored.map(([id, score]) => [id, Number(score)]))]).toEqual([
        tag,
        new Map(members),
      ])
    }
    for (const state of ['delivered', 'dropped'] as const) {
      const expected = [...model.history].filter(([, outcome]) => outcome.state === state)
      expect(all.map(keys[state])).toEqual(
        new Map(expected.map(([id, { finishedAt }]) => [id, String(finishedAt)])),
      )
      for (const [id, { message, finishedAt, lateMs }] of expected) {
        const entry = all.map(keys.history).get(id) ?? ''
        const { record, ...outcome } = decodeHistoryEntry(entry)
        expect(entry.startsWith(`${state} `)).toBe(true)
        expect(outcome).toEqual({
          ...{ finishedAt, lateMs, attemptCounts: attempts(message) || '0 0', failures: failures(message) },
        })
        const kept = content(message)
        expect(toStored(record)).toEqual({
          ...kept,
          payload: message.payload.length > 1_024 ? '' : kept.payload,
        })
      }
    }
    expect(new Set(all.map(keys.history).keys())).toEqual(new Set(model.history.keys()))
    expect(new Set(all.set(keys.streams))).toEqual(new Set(model.streams.keys()))
    for (const [name, moved] of model.streams) {
      const entries = all.stream(keys.streamPrefix + name).map(([, { id, payload }]) => [id, payload])
      expect(entries).toEqual(moved)
    }
    await this.compareCounts()
  }

  private async compareCounts(): Promise<void> {
    const { w, model } = this
    const full = [`webhook:${HOSTS[0]}`]
    const before = await w.now()
    const counts = await w.scripts.count(this.shard, full)
    const scheduled = model.inState('scheduled')
    expect(counts).toMatchObject({
      scheduled: scheduled.length,
      claimed: model.inState('claimed').length,
      dead: model.inState('dead').length,
      stranded: 0,
    })
    const heads = [...model.heads()]
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

  /** In the end, everything that can be delivered is, once, and nothing else. */
  async drain(): Promise<void> {
    this.w.pass(40 * STEP)
    for (let round = 0; round < 3; round += 1) {
      for (const room of [WIDE, workerRoom('q')]) {
        for (const one of roomsOf(room)) {
          await this.claim(one)
          const last = this.claims[0]
          if (last !== undefined) await this.do({ do: 'acknowledge', held: true, claim: 0, mask: 255 })
        }
      }
    }
    expect([...this.model.messages.values()].every(({ state }) => state === 'dead')).toBe(true)
  }

  /** So that the next run's looks at all keys find few. */
  async clear(): Promise<void> {
    const names = (await dump(this.w, this.shard)).behind('')
    if (names.length > 0) await this.w.client.del(...names)
  }
}

const ifMatch = (versions: readonly number[] | null) => versions?.join() ?? ''

const attempts = (message: Stored | undefined) =>
  message === undefined || message.failures + message.recoveries === 0
    ? ''
    : `${message.failures} ${message.recoveries}`

const failures = (message: Stored | undefined) =>
  message === undefined ? '' : [message.reason, ...message.reports].join('\n')

/** What a record says, to be compared with the model's message. */
function toStored(record: string) {
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

function content(message: Stored | undefined) {
  if (message === undefined) throw new Error('the model has no such message')
  const { dueAt, payload, version, createdAt, options, fingerprint } = message
  return { dueAt, payload, version, createdAt, options, fingerprint }
}
