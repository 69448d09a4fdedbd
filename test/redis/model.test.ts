import fc from 'fast-check'
import { describe, expect, inject, it } from 'vitest'
import {
  type Due,
  decodeOutcome,
  decodeRecord,
  encodeOptions,
  encodeRecordBody,
  fingerprintOf,
  type MessageOptions,
  type OnLate,
} from '../../src/message.ts'
import { keysOf, type ShardKeys } from '../../src/redis/keys.ts'
import type { CancelWord, FoundMessage } from '../../src/redis/message-scripts.ts'
import type { ScheduleEntry, ScheduleWord } from '../../src/redis/scripts.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

/**
 * Time in these tests. The scripts' clock is Redis's and runs on by itself, so nothing may hang on a few seconds:
 * it is moved in whole STEPs, while every time that is compared with it lies between two of them, due times and
 * not-afters by a half and delays by a quarter. A run takes far less than a quarter of a STEP. What a script
 * reckons from its clock the model learns from its answer, after a look at whether it can be.
 */
const STEP = 100_000
const HALF = STEP / 2
const QUARTER = STEP / 4
const LOCK_MS = 2 * STEP + HALF
const RETENTION = { historyMax: 2, historyTtlMs: 6 * STEP + HALF, dedupWindowMs: 3_600_000 }
const LATEST = 253_402_300_799_999

const TAGS = ['red', 'blue']
const CLIENT_IDS = ['a', 'b', 'c', '__proto__']
const SERVER_IDS = ['~1', '~2', '~3', '~4']
const ALL_IDS = [...CLIENT_IDS, ...SERVER_IDS]

interface Stored {
  dueAt: number
  payload: string
  options: MessageOptions
  version: number
  createdAt: number | null
  fingerprint: string | null
  failures: number
  recoveries: number
  state: 'scheduled' | 'claimed' | 'dead'
  /** when next due, lock end, given up at */
  score: number
  attemptDueAt: number
  token: string
}
interface Finished {
  readonly state: 'delivered' | 'dropped'
  readonly finishedAt: number
  readonly lateMs: number
  readonly message: Stored
}

/** A plain scheduler in memory: what the issue and the heads of the Lua files say, and nothing of how. */
class Model {
  readonly messages = new Map<string, Stored>()
  history = new Map<string, Finished>()
  readonly known = new Map<string, string>()

  inState(state: Stored['state']): [string, Stored][] {
    const members = [...this.messages].filter(([, message]) => message.state === state)
    return members.sort(([a, x], [b, y]) => x.score - y.score || (a < b ? -1 : 1))
  }

  head(): number | null {
    return this.inState('scheduled')[0]?.[1].score ?? null
  }

  stateOf(id: string, now: number): FoundMessage['state'] | 'unknown' {
    const outcome = this.history.get(id)
    const inTime = outcome !== undefined && outcome.finishedAt > now - RETENTION.historyTtlMs
    const known = this.known.get(id)?.split(' ')[0] as 'delivered' | 'dropped' | undefined
    return this.messages.get(id)?.state ?? (inTime ? outcome.state : known) ?? 'unknown'
  }

  schedule(id: string, { rule, due, payload, options }: NewMessage, now: number): ScheduleWord {
    const dueAt = 'at' in due ? due.at : now + due.inMs
    const fingerprint = rule === 'client' ? fingerprintOf(due, payload, options) : null
    if (fingerprint !== null) {
      const first = this.messages.get(id)?.fingerprint ?? this.known.get(id)?.split(' ')[1]
      if (first !== undefined) return first === fingerprint ? 'duplicate' : 'conflict'
    }
    if (rule === 'future' && dueAt <= now) return this.messages.has(id) ? 'exists' : 'past'
    if (options.notAfter !== undefined && options.notAfter < dueAt) return 'expired'
    if (this.messages.has(id)) return 'exists'
    if (rule === 'client') this.history.delete(id)
    this.messages.set(id, {
      ...{ dueAt, payload: JSON.stringify(payload), options, version: 1, failures: 0, recoveries: 0 },
      ...{ createdAt: rule === 'client' ? now : null, fingerprint },
      ...{ state: 'scheduled', score: dueAt, attemptDueAt: dueAt, token: '' },
    })
    return 'scheduled'
  }

  cancel(id: string, versions: readonly number[] | null, dead: boolean, now: number): CancelWord {
    const state = this.stateOf(id, now)
    const message = this.messages.get(id)
    if (state === 'unknown' || state === 'claimed') return state
    if (message === undefined) return 'finished'
    if (state === 'dead' && !dead) return 'dead'
    if (versions !== null && !versions.includes(message.version)) return 'version'
    this.messages.delete(id)
    return 'cancelled'
  }

  reschedule(id: string, change: Change, versions: readonly number[] | null, now: number) {
    const state = this.stateOf(id, now)
    const message = this.messages.get(id)
    if (state === 'unknown' || state === 'claimed') return state
    if (message === undefined) return 'finished'
    if (versions !== null && !versions.includes(message.version)) return 'version'
    const dueAt = change.due === undefined ? message.dueAt : dueTime(change.due, now)
    const options = Object.fromEntries(
      Object.entries({ ...message.options, ...change.options }).filter(([, value]) => value !== undefined),
    ) as MessageOptions
    if (options.notAfter !== undefined && options.notAfter < dueAt) return 'expired'
    if (options.onLate !== undefined && options.notAfter === undefined) return 'pointless'
    Object.assign(message, { dueAt, options, version: message.version + 1 })
    if (change.payload !== undefined) message.payload = JSON.stringify(change.payload)
    if (change.due !== undefined && message.state === 'scheduled') message.score = dueAt
    return 'rescheduled'
  }

  shift(ids: readonly string[], byMs: number): string[] {
    const moved = (ms: number) => Math.max(0, Math.min(LATEST, ms + byMs))
    const shifted = ids.filter((id) => {
      return this.messages.get(id)?.state === 'scheduled'
    })
    for (const id of shifted) {
      const message = this.messages.get(id)
      if (message === undefined) continue
      const { notAfter } = message.options
      message.dueAt = moved(message.dueAt)
      message.score = moved(message.score)
      message.version += 1
      if (notAfter !== undefined) message.options = { ...message.options, notAfter: moved(notAfter) }
    }
    return shifted
  }

  claim(token: string, limit: number, now: number) {
    const expired = this.inState('claimed').filter(([, { score }]) => score <= now)
    const recovered = expired.slice(0, limit)
    for (const [, message] of recovered) {
      Object.assign(message, { state: 'scheduled', score: message.dueAt, token: '' })
      message.recoveries += 1
    }
    const reply = { claimed: [] as string[], recovered: recovered.length, dropped: 0, dead: 0 }
    const due = this.inState('scheduled').filter(([, { score }]) => score <= now)
    for (const [id, message] of due.slice(0, limit)) {
      const { notAfter = Number.POSITIVE_INFINITY, onLate = 'deliver' } = message.options
      if (now > notAfter && onLate === 'drop') {
        this.finish(id, 'dropped', now, now - message.dueAt)
        reply.dropped += 1
      } else if (now > notAfter && onLate === 'dead-letter') {
        Object.assign(message, { state: 'dead', score: now })
        reply.dead += 1
      } else {
        Object.assign(message, {
          ...{ state: 'claimed', attemptDueAt: message.score, score: now + LOCK_MS, token },
        })
        reply.claimed.push(id)
      }
    }
    this.trim(now)
    return reply
  }

  acknowledge(token: string, delivered: readonly { id: string; lateMs: number }[], now: number): string[] {
    const lost = delivered.filter(({ id }) => !this.owns(token, id))
    const owned = delivered.filter(({ id }) => this.owns(token, id))
    for (const { id, lateMs } of owned) this.finish(id, 'delivered', now, lateMs)
    if (owned.length > 0) this.trim(now)
    return lost.map(({ id }) => id)
  }

  release(token: string, ids: readonly string[], retryInMs: number | null, now: number): string[] {
    const lost = ids.filter((id) => !this.owns(token, id))
    for (const id of ids) {
      const message = this.messages.get(id)
      if (message === undefined || !this.owns(token, id)) continue
      const failed = retryInMs !== null
      Object.assign(message, {
        ...{ state: 'scheduled', token: '', score: failed ? now + retryInMs : message.attemptDueAt },
      })
      if (failed) message.failures += 1
    }
    return lost
  }

  owns(token: string, id: string): boolean {
    const message = this.messages.get(id)
    return message?.state === 'claimed' && message.token === token
  }

  finish(id: string, state: Finished['state'], finishedAt: number, lateMs: number): void {
    const message = this.messages.get(id)
    if (message === undefined) throw new Error(`${id} is not there`)
    this.messages.delete(id)
    this.history.set(id, { state, finishedAt, lateMs, message })
    if (message.fingerprint !== null) this.known.set(id, `${state} ${message.fingerprint}`)
  }

  trim(now: number): void {
    const kept = [...this.history].filter(([, { finishedAt }]) => finishedAt > now - RETENTION.historyTtlMs)
    kept.sort(
      ([a, x], [b, y]) =>
        x.finishedAt - y.finishedAt || (x.state < y.state ? -1 : x.state > y.state ? 1 : a < b ? -1 : 1),
    )
    this.history = new Map(kept.slice(-RETENTION.historyMax))
  }
}

const dueTime = (due: Due, now: number) => ('at' in due ? due.at : now + due.inMs)

interface NewMessage {
  readonly rule: ScheduleEntry['rule']
  readonly due: Due
  readonly payload: unknown
  readonly options: MessageOptions
}
interface Change {
  readonly due: Due | undefined
  readonly payload: unknown
  readonly options: { readonly [Name in keyof MessageOptions]: MessageOptions[Name] | undefined }
}

const PAYLOADS: Readonly<Record<string, unknown>> = {
  text: 'one',
  object: { two: [2] },
  large: 'x'.repeat(1_100),
}

/** Times as they are generated: STEPs from the begin of a run, or from now. */
type AnyDue = { readonly atStep: number } | { readonly inSteps: number }
type AnyOptions = {
  readonly tags?: string[] | undefined
  readonly notAfterStep?: number | undefined
  readonly onLate?: OnLate | undefined
}

const steps = fc.integer({ min: -2, max: 9 })
const due: fc.Arbitrary<AnyDue> = fc.oneof(
  steps.map((atStep) => ({ atStep })),
  fc.integer({ min: 0, max: 4 }).map((inSteps) => ({ inSteps })),
)
const tags = fc.subarray(TAGS)
const onLate = fc.constantFrom<OnLate>('deliver', 'drop', 'dead-letter')
const payload = fc.constantFrom('text', 'object', 'large')
const options: fc.Arbitrary<AnyOptions> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ tags }, { requiredKeys: [] }) },
  {
    weight: 3,
    arbitrary: fc.record({ tags, notAfterStep: steps, onLate }, { requiredKeys: ['notAfterStep'] }),
  },
)
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const changes = fc.record(
  { tags: maybe(tags), notAfterStep: maybe(steps), onLate: maybe(onLate) },
  { requiredKeys: [] },
)
const anyId = fc.constantFrom(...ALL_IDS)
const versions = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }) },
)
const message = fc.record({
  id: anyId,
  future: fc.boolean(),
  content: fc.record({ due, payload, options }),
})
/** Which of a claim's messages: the claim counted from the newest, and a bit for each message. */
const some = { claim: fc.integer({ min: 0, max: 2 }), mask: fc.integer({ min: 1, max: 255 }) }

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('schedule' as const),
      messages: fc.array(message, { minLength: 1, maxLength: 4 }),
      again: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant('reschedule' as const), id: anyId, due: maybe(due), payload: maybe(payload) },
      ...{ options: changes, versions },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('cancel' as const), ids: fc.subarray(ALL_IDS, { minLength: 1, maxLength: 3 }) },
      ...{ versions, dead: fc.boolean() },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('shift' as const), ids: fc.subarray(ALL_IDS, { minLength: 1 }) },
      bySteps: fc.integer({ min: -3, max: 3 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('claim' as const), limit: fc.constantFrom(1, 3, 100) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), ...some }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('return' as const), ...some }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      ...some,
      steps: fc.integer({ min: 0, max: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pass' as const), steps: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('forget' as const) }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never
type Schedule = Extract<Operation, { do: 'schedule' }>
type Reschedule = Extract<Operation, { do: 'reschedule' }>

/** One run: every operation on the scripts and on the model, in a shard of its own. */
class Run {
  private readonly model = new Model()
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
        const { ids, versions, dead } = operation
        const now = await this.w.now()
        const expected = ids.map((id) => this.model.cancel(id, versions, dead, now))
        const words = await this.w.messageScripts.cancel(this.shard, {
          ids,
          ifMatch: ifMatch(versions),
          dead,
        })
        expect(words).toEqual(expected)
        for (const word of words) this.note(`cancel ${word}`)
        return
      }
      case 'shift': {
        const { ids, bySteps } = operation
        const byMs = bySteps * STEP
        const headBefore = this.model.head()
        const shifted = this.model.shift(ids, byMs)
        const args = { ids, byMs, latest: LATEST }
        const reply = await this.w.messageScripts.shift(this.shard, args)
        expect(reply.shifted).toBe(shifted.length)
        const scores = shifted.map((id) => this.model.messages.get(id)?.score ?? 0)
        await this.expectHead(reply.headInMs, headBefore, scores)
        if (shifted.length > 0) this.note('shifted')
        return
      }
      case 'claim':
        return this.claim(operation.limit)
      case 'acknowledge': {
        const { token, ids } = this.pick(operation)
        const delivered = ids.map((id, i) => ({ id, lateMs: i * 7 }))
        const lost = await this.w.scripts.acknowledge(this.shard, { token, delivered })
        const owned = ids.filter((id) => this.model.owns(token, id))
        // Nothing finished later; where what finished in the same ms has filled the history, that tells the time.
        const { delivered: newest, dropped } = this.keys
        const last = await Promise.all(
          [newest, dropped].map((key) => this.w.client.zrange(key, '-1', '-1', 'WITHSCORES')),
        )
        const at = Math.max(...last.map(([, score]) => Number(score ?? 0)))
        const now = await this.learn(owned.length === 0 ? null : at)
        expect(lost).toEqual(this.model.acknowledge(token, delivered, now))
        this.note(owned.length > 0 ? 'acknowledged' : 'lost')
        return
      }
      case 'return':
      case 'fail': {
        const { token, ids } = this.pick(operation)
        const retryInMs = operation.do === 'fail' ? operation.steps * STEP + QUARTER : null
        const releases = ids.map((id) =>
          retryInMs !== null
            ? { id, why: 'failed' as const, retryInMs }
            : { id, why: 'returned' as const, dueAt: this.model.messages.get(id)?.attemptDueAt ?? 0 },
        )
        const lost = await this.w.scripts.release(this.shard, { token, releases })
        const owned = ids.filter((id) => this.model.owns(token, id))
        const at = owned[0] === undefined ? null : await this.w.client.zscore(this.keys.scheduled, owned[0])
        const now = await this.learn(at === null || retryInMs === null ? null : Number(at) - retryInMs)
        expect(lost).toEqual(this.model.release(token, ids, retryInMs, now))
        this.note(owned.length > 0 ? operation.do : 'lost')
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
      const fingerprint = rule === 'client' ? fingerprintOf(due, payload, options) : undefined
      return { id, rule, due, body: encodeRecordBody(JSON.stringify(payload), options, fingerprint) }
    })
    const headBefore = this.model.head()
    const { words, now, headInMs } = await this.w.scripts.schedule(this.shard, entries)
    await this.learn(now)
    const expected = all.map(({ id, ...content }) => this.model.schedule(id, content, now))
    expect(words).toEqual(expected)
    const stored = all.filter((_, i) => words[i] === 'scheduled')
    for (const { id, ...content } of stored) this.lastContent.set(id, content)
    await this.expectHead(
      headInMs,
      headBefore,
      stored.map(({ due }) => dueTime(due, now)),
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
    const headBefore = this.model.head()
    const reply = await this.w.messageScripts.reschedule(this.shard, {
      id,
      ifMatch: ifMatch(versions),
      changes: {
        due: change.due ?? null,
        payload: payload === undefined ? null : JSON.stringify(PAYLOADS[payload]),
        options: encodeOptions(change.options),
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
    const now = await this.w.now()
    const { state, score } = reply.found
    await this.expectHead(reply.headInMs, headBefore, state === 'scheduled' ? [score ?? 0] : [], now)
  }

  private async claim(limit: number): Promise<void> {
    const token = `t${this.claims.length}`
    const reply = await this.w.scripts.claim(this.shard, { token, limit, lockMs: LOCK_MS })
    await this.learn(reply.now)
    const { claimed, ...counts } = this.model.claim(token, limit, reply.now)
    expect(reply.claims.map(({ id }) => id)).toEqual(claimed)
    expect(reply).toMatchObject(counts)
    for (const { id, attemptDueAt, record, failures, recoveries } of reply.claims) {
      const message = this.model.messages.get(id)
      expect({ attemptDueAt, failures, recoveries }).toEqual({
        attemptDueAt: message?.attemptDueAt,
        failures: message?.failures,
        recoveries: message?.recoveries,
      })
      expect(toStored(record)).toEqual(content(message))
    }
    const head = this.model.head()
    expect(reply.nextDueInMs).toBe(head === null ? null : Math.max(0, head - reply.now))
    if (claimed.length > 0) this.claims.unshift({ token, ids: claimed })
    for (const [what, count] of Object.entries({ claimed: claimed.length, ...counts })) {
      if (count > 0) this.note(what)
    }
  }

  private pick({ claim, mask }: { claim: number; mask: number }): { token: string; ids: string[] } {
    const { token, ids } = this.claims[claim] ?? { token: 'nobody', ids: ALL_IDS }
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

  /** The head moved if one of the changed messages is sooner than all that were there. */
  private async expectHead(
    inMs: number | null,
    before: number | null,
    changed: readonly number[],
    now?: number,
  ): Promise<void> {
    const soonest = Math.min(...changed)
    if (changed.length === 0 || (before !== null && before <= soonest)) return expect(inMs).toBeNull()
    const expected = Math.max(0, soonest - (now ?? (await this.w.now())))
    expect(inMs).toBeGreaterThanOrEqual(expected)
    expect(inMs).toBeLessThan(expected + QUARTER)
  }

  private expectSame(id: string, found: FoundMessage | undefined): void {
    const message = this.model.messages.get(id)
    expect(found).toMatchObject({ id, state: message?.state, score: message?.score })
    expect(found?.attempts).toBe(attempts(message))
    expect(toStored(found?.record ?? '')).toEqual(content(message))
  }

  /** Everything that is stored, against everything there should be. */
  async compare(): Promise<void> {
    const { w, keys, model } = this
    const { client } = w
    const now = await w.now()
    for (const [state, key] of [
      ['scheduled', keys.scheduled],
      ['claimed', keys.claimed],
      ['dead', keys.dead],
    ] as const) {
      const expected = model.inState(state).flatMap(([id, { score }]) => [id, String(score)])
      expect([state, ...(await client.zrange(key, '0', '-1', 'WITHSCORES'))]).toEqual([state, ...expected])
    }
    expect(new Set(await client.hkeys(keys.messages))).toEqual(new Set(model.messages.keys()))
    for (const [id, found] of (await w.messageScripts.find(this.shard, ALL_IDS)).entries()) {
      const name = ALL_IDS[id] ?? ''
      expect([name, found?.state ?? 'unknown']).toEqual([name, model.stateOf(name, now)])
      if (model.messages.has(name)) this.expectSame(name, found)
      const lock = await client.get(keys.lockPrefix + name)
      expect([name, lock]).toEqual([name, model.messages.get(name)?.token || null])
      const known = await client.get(keys.seenPrefix + name)
      expect([name, known]).toEqual([name, model.known.get(name) ?? null])
    }
    const tried = [...model.messages].filter(([, message]) => attempts(message) !== '')
    expect(new Set(await client.hkeys(keys.attempts))).toEqual(new Set(tried.map(([id]) => id)))
    for (const tag of TAGS) {
      const members = [...model.messages]
        .filter(([, { state, options }]) => state !== 'dead' && options.tags?.includes(tag))
        .map(([id, message]) => [id, message.state === 'claimed' ? message.attemptDueAt : message.score])
      const stored = pairs(await client.zrange(keys.tagPrefix + tag, '0', '-1', 'WITHSCORES'))
      expect([tag, new Map(stored.map(([id, score]) => [id, Number(score)]))]).toEqual([
        tag,
        new Map(members as []),
      ])
    }
    for (const state of ['delivered', 'dropped'] as const) {
      const stored = pairs(await client.zrange(keys[state], '0', '-1', 'WITHSCORES'))
      const expected = [...model.history].filter(([, outcome]) => outcome.state === state)
      expect(new Map(stored)).toEqual(
        new Map(expected.map(([id, { finishedAt }]) => [id, String(finishedAt)])),
      )
      for (const [id, { message, finishedAt, lateMs }] of expected) {
        const entry = (await client.hget(keys.history, id)) ?? ''
        const { record, ...outcome } = decodeOutcome(entry)
        expect(entry.startsWith(`${state} `)).toBe(true)
        expect(outcome).toEqual({ finishedAt, lateMs, attempts: attempts(message) || '0 0' })
        const kept = content(message)
        expect(toStored(record)).toEqual({
          ...kept,
          payload: message.payload.length > 1_024 ? '' : kept.payload,
        })
      }
    }
    expect(new Set(await client.hkeys(keys.history))).toEqual(new Set(model.history.keys()))
    const counts = await w.messageScripts.count(this.shard)
    expect(counts).toMatchObject({
      ...{ scheduled: model.inState('scheduled').length, claimed: model.inState('claimed').length },
      dead: model.inState('dead').length,
    })
  }

  /** In the end, everything that can be delivered is, once, and nothing else. */
  async drain(): Promise<void> {
    this.w.pass(40 * STEP)
    for (let round = 0; round < 3; round += 1) {
      await this.claim(100)
      const last = this.claims[0]
      if (last !== undefined) await this.do({ do: 'acknowledge', claim: 0, mask: 255 })
    }
    expect([...this.model.messages.values()].every(({ state }) => state === 'dead')).toBe(true)
  }
}

const pairs = (flat: readonly string[]): [string, string][] =>
  flat.flatMap((value, i): [string, string][] => (i % 2 === 0 ? [[value, flat[i + 1] ?? '']] : []))

const ifMatch = (versions: readonly number[] | null) => versions?.join() ?? ''

const attempts = (message: Stored | undefined) =>
  message === undefined || message.failures + message.recoveries === 0
    ? ''
    : `${message.failures} ${message.recoveries}`

/** What a record says, to be compared with the model's message. */
function toStored(record: string) {
  const { dueAt, payload, version, createdAt, fingerprint, ...options } = decodeRecord(record)
  return { dueAt, payload, version, createdAt, options, fingerprint }
}

function content(message: Stored | undefined) {
  if (message === undefined) throw new Error('the model has no such message')
  const { dueAt, payload, version, createdAt, options, fingerprint } = message
  return { dueAt, payload, version, createdAt, options, fingerprint }
}

const RUNS = 200

/** What chance might not bring about in so many runs: reaching for messages that are dead or finished. */
const RARE: Operation[] = [
  {
    do: 'schedule',
    messages: [
      {
        id: 'a',
        future: false,
        content: {
          due: { inSteps: 0 },
          payload: 'text',
          options: { notAfterStep: 1, onLate: 'dead-letter' },
        },
      },
    ],
    again: false,
  },
  { do: 'pass', steps: 4 },
  { do: 'claim', limit: 100 },
  { do: 'cancel', ids: ['a'], versions: null, dead: false },
  {
    do: 'schedule',
    messages: [{ id: 'b', future: false, content: { due: { inSteps: 0 }, payload: 'text', options: {} } }],
    again: false,
  },
  { do: 'pass', steps: 1 },
  { do: 'claim', limit: 100 },
  { do: 'acknowledge', claim: 0, mask: 255 },
  { do: 'cancel', ids: ['b'], versions: null, dead: false },
  { do: 'reschedule', id: 'b', due: undefined, payload: undefined, options: {}, versions: null },
]

describe('the scripts, against a plain model in memory', () => {
  const world = useScripts(() => inject('redisUrl'), 0, RETENTION)

  it('agree on every answer, on all that is stored, and on what gets delivered, whatever is done', async () => {
    const w = world()
    const seen = new Map<string, number>()
    let shard = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 1, maxLength: 45, size: 'max' }),
        async (operations) => {
          shard += 1
          const run = new Run(w, shard, await w.now(), seen)
          for (const operation of operations) await run.do(operation)
          await run.compare()
          await run.drain()
          await run.compare()
        },
      ),
      { numRuns: RUNS, interruptAfterTimeLimit: 15_000, examples: [[RARE]] },
    )
    // A model that agrees because nothing ever happens would prove nothing. A machine so slow that the time was up
    // is excused.
    if (shard < RUNS) return
    const wanted = [
      ...['scheduled', 'exists', 'past', 'expired', 'duplicate', 'conflict'].map(
        (word) => `schedule ${word}`,
      ),
      ...['cancelled', 'unknown', 'claimed', 'finished', 'dead', 'version'].map((word) => `cancel ${word}`),
      ...['rescheduled', 'unknown', 'claimed', 'finished', 'version', 'expired', 'pointless'].map(
        (word) => `reschedule ${word}`,
      ),
      ...['shifted', 'claimed', 'recovered', 'dropped', 'dead', 'acknowledged', 'lost', 'fail', 'return'],
    ]
    expect(wanted.filter((word) => !seen.has(word))).toEqual([])
  }, 60_000)
})
