import type { Due, MessageOptions, RetryPolicy } from '../../../../src/domain/message.ts'
import { fingerprintOf } from '../../../../src/records/fingerprint.ts'
import type { ScriptsOptions } from '../../../../src/store/script-values.ts'
import type { CancelWord } from '../../../../src/store/scripts/change.ts'
import type { FoundMessage } from '../../../../src/store/scripts/query.ts'
import type { ScheduleWord } from '../../../../src/store/scripts/schedule.ts'
import type { Release, ReleaseWord } from '../../../../src/store/scripts/settle.ts'
import type { ClaimRoom } from '../../../support/claim-all.ts'
import { laneOf } from '../../../support/invariants.ts'
import { ModelCancelled } from './cancelled.ts'
import { ModelPauses } from './pauses.ts'
import { keptReports } from './reports.ts'
import { byScore, nextFor, takeFor } from './room.ts'
import type { Change, Finished, NewMessage, Stored } from './types.ts'

const LATEST = 253_402_300_799_999

type Versions = readonly number[] | null

const dueTime = (due: Due, now: number) => ('at' in due ? due.at : now + due.inMs)

/** A plain scheduler in memory: what the issues and the heads of the Lua files say, and nothing of how. */
export class Model {
  readonly messages = new Map<string, Stored>()
  history = new Map<string, Finished>()
  readonly cancelled: ModelCancelled
  readonly known = new Map<string, string>()
  /** per stream the ids and payloads that were moved there */
  readonly streams = new Map<string, [id: string, payload: string][]>()
  claims = 0
  readonly pauses = new ModelPauses()
  private readonly settings: Omit<ScriptsOptions, 'namespace'>

  constructor(settings: Omit<ScriptsOptions, 'namespace'>) {
    this.settings = settings
    this.cancelled = new ModelCancelled(settings.retention)
  }

  inState(state: Stored['state']): [string, Stored][] {
    return [...this.messages].filter(([, message]) => message.state === state).sort(byScore)
  }

  inLane(lane: string): [string, Stored][] {
    return this.inState('scheduled').filter(
      ([id, { options }]) => !this.pauses.asides.has(id) && laneOf(options) === lane,
    )
  }

  /** of each lane that holds messages, "" among them, when the first is due */
  heads(): Map<string, number> {
    const heads = new Map<string, number>()
    for (const [id, { options, score }] of this.inState('scheduled').reverse())
      if (!this.pauses.asides.has(id)) heads.set(laneOf(options), score)
    return heads
  }

  stateOf(id: string, now: number): FoundMessage['state'] | 'unknown' {
    const outcome = this.history.get(id)
    const inTime = outcome !== undefined && outcome.finishedAt > now - this.settings.retention.historyTtlMs
    if (!inTime && !this.messages.has(id) && this.cancelled.remembered(now).has(id)) return 'cancelled'
    const known = this.known.get(id)?.split(' ')[0] as 'delivered' | 'dropped' | undefined
    return this.messages.get(id)?.state ?? (inTime ? outcome.state : known) ?? 'unknown'
  }

  schedule(id: string, { rule, due, payload, options }: NewMessage, now: number): ScheduleWord {
    const dueAt = dueTime(due, now)
    const fingerprint = rule === 'client' ? fingerprintOf(due, JSON.stringify(payload), options) : null
    if (fingerprint !== null) {
      const first = this.messages.get(id)?.fingerprint ?? this.known.get(id)?.split(' ')[1]
      if (first !== undefined) return first === fingerprint ? 'duplicate' : 'conflict'
    }
    if (rule !== 'client' && this.messages.has(id)) return 'exists'
    if (rule === 'future' && dueAt <= now) return 'past'
    if (options.notAfter !== undefined && options.notAfter < dueAt) return 'expired'
    for (const outcomes of rule === 'client' ? [this.history, this.cancelled.all] : []) outcomes.delete(id)
    this.messages.set(id, {
      ...{ dueAt, payload: JSON.stringify(payload), options, version: 1, failures: 0, recoveries: 0 },
      ...{ createdAt: rule === 'client' ? now : null, fingerprint, reason: '', reports: [], claim: 0 },
      ...{ state: 'scheduled', score: dueAt, attemptDueAt: dueAt, token: '' },
    })
    this.nameStream(options)
    return 'scheduled'
  }

  private nameStream({ destination }: MessageOptions): void {
    const name = String(destination?.name)
    if (destination?.type !== 'stream' || this.streams.has(name)) return
    this.streams.set(name, [])
  }

  cancel(id: string, versions: Versions, states: readonly string[], by: string, now: number): CancelWord {
    const state = this.stateOf(id, now)
    const message = this.messages.get(id)
    if (state === 'cancelled') return 'unknown'
    if (state === 'unknown' || state === 'claimed') return state
    if (message === undefined) return 'finished'
    if (!states.includes(state)) return 'other'
    if (versions !== null && !versions.includes(message.version)) return 'version'
    this.messages.delete(id)
    this.pauses.asides.delete(id)
    this.cancelled.all.set(id, { finishedAt: now, by, message })
    return 'cancelled'
  }

  reschedule(id: string, change: Change, versions: Versions, now: number) {
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
    if (options.onLate !== undefined && options.notAfter === undefined) return 'no-not-after'
    Object.assign(message, { dueAt, options, version: message.version + 1 })
    this.pauses.asides.delete(id)
    if (change.payload !== undefined) message.payload = JSON.stringify(change.payload)
    if (change.due !== undefined && message.state === 'scheduled') message.score = dueAt
    this.nameStream(options)
    return 'rescheduled'
  }

  shift(ids: readonly string[], byMs: number): string[] {
    const moved = (ms: number) => Math.max(0, Math.min(LATEST, ms + byMs))
    const shifted = ids.filter((id) => this.messages.get(id)?.state === 'scheduled')
    for (const id of shifted) {
      const message = this.messages.get(id)
      if (message === undefined) continue
      this.pauses.asides.delete(id)
      const { notAfter } = message.options
      message.dueAt = moved(message.dueAt)
      message.score = moved(message.score)
      message.version += 1
      if (notAfter !== undefined) message.options = { ...message.options, notAfter: moved(notAfter) }
    }
    return shifted
  }

  redrive(ids: readonly string[], args: { everyMs: number; before: number; by: string }, from: number) {
    const { everyMs, before, by } = args
    let nth = before
    const unknown: string[] = []
    for (const id of ids) {
      const message = this.messages.get(id)
      if (message?.state !== 'dead') {
        unknown.push(id)
        continue
      }
      const score = Math.max(message.dueAt, Math.min(LATEST, from + Math.floor(nth * everyMs)))
      const event = { redriven: 0, dead: message.score, reason: message.reason, by }
      Object.assign(message, { state: 'scheduled', score, failures: 0, recoveries: 0 })
      this.note(message, message.reason, JSON.stringify(event))
      nth += 1
    }
    return unknown
  }

  claim(token: string, lockMs: number, room: ClaimRoom, now: number) {
    const reply = { claimed: [] as string[], moved: [] as number[], recovered: 0, dropped: 0, died: 0 }
    for (const [id, message] of this.inState('claimed').filter(([, { score }]) => score <= now)) {
      message.token = ''
      if (message.recoveries >= this.settings.maxRecoveries) {
        this.makeDead(id, 'recoveries', '', now)
        reply.died += 1
      } else {
        Object.assign(message, { state: 'scheduled', score: message.dueAt })
        this.note(message, 'lock lost', `{"recovered":${now}}`)
        message.recoveries += 1
        reply.recovered += 1
      }
    }
    const isSwept = this.pauses.sweep(this.messages)
    const trimmed = this.trimDead(now)
    for (const [id, message] of takeFor(this, room, now)) {
      const { notAfter = Number.POSITIVE_INFINITY, onLate = 'deliver', destination } = message.options
      if (now > notAfter && onLate === 'drop') {
        this.finish(id, 'dropped', now, Math.max(0, now - message.dueAt))
        reply.dropped += 1
      } else if (now > notAfter && onLate === 'dead-letter') {
        this.makeDead(id, 'expired', '', now)
        reply.died += 1
      } else if (destination?.type === 'stream') {
        this.streams.get(String(destination.name))?.push([id, message.payload])
        reply.moved.push(now - message.score)
        this.finish(id, 'delivered', now, Math.max(0, now - message.dueAt))
      } else {
        this.claims += 1
        Object.assign(message, {
          ...{ state: 'claimed', attemptDueAt: message.score, score: now + lockMs, token },
          claim: this.claims,
        })
        reply.claimed.push(id)
      }
    }
    // What is only claimed adds nothing to the history; acknowledging it will.
    if (reply.claimed.length === 0 || reply.moved.length + reply.dropped > 0) this.trim(now)
    const next = nextFor(this, room, now)
    return { ...reply, trimmed, ...next, nextDueInMs: isSwept ? 0 : next.nextDueInMs }
  }

  acknowledge(delivered: readonly { id: string; token: string; lateMs: number }[], now: number): string[] {
    const lost = delivered.filter((each) => !this.owns(each))
    const owned = delivered.filter((each) => this.owns(each))
    for (const { id, lateMs } of owned) this.finish(id, 'delivered', now, lateMs)
    if (owned.length > 0) this.trim(now)
    return lost.map(({ id }) => id)
  }

  extend(held: readonly { id: string; token: string }[], lockMs: number, now: number): string[] {
    const lost = held.filter((each) => !this.owns(each))
    for (const each of held) {
      const message = this.messages.get(each.id)
      if (message !== undefined && this.owns(each)) message.score = now + lockMs
    }
    return lost.map(({ id }) => id)
  }

  /** @returns ms until a failed message is tried again; null when it would be dead instead */
  waitOf(release: Release): number | null {
    const message = this.messages.get(release.id)
    if (message === undefined || release.why === 'rejected' || release.why === 'returned') return null
    if (release.why === 'deferred') return release.delayMs
    const policy: Required<RetryPolicy> = { ...this.settings.retry, ...message.options.retry }
    if (message.failures + 1 >= policy.attempts) return null
    if (release.why === 'postponed') return release.delayMs
    const backOff = policy.minMs * policy.factor ** message.failures
    return Math.min(policy.maxMs, Math.max(backOff, release.retryAfterMs))
  }

  release(releases: readonly Release[], now: number): { words: ReleaseWord[]; trimmed: number } {
    const words = releases.map((release): ReleaseWord => {
      const message = this.messages.get(release.id)
      if (message === undefined || !this.owns(release)) return 'lost'
      const wait = this.waitOf(release)
      message.token = ''
      if (release.why === 'returned') {
        Object.assign(message, { state: 'scheduled', score: message.attemptDueAt })
        return 'released'
      }
      if (release.why === 'deferred') {
        Object.assign(message, { state: 'scheduled', score: now + release.delayMs })
        return 'released'
      }
      message.failures += 1
      if (wait === null) {
        this.makeDead(release.id, release.reason, release.report, now)
        return 'dead'
      }
      Object.assign(message, { state: 'scheduled', score: now + wait })
      this.note(message, release.reason, release.report)
      return 'released'
    })
    return { words, trimmed: this.trimDead(now) }
  }

  owns({ id, token }: { id: string; token: string }): boolean {
    const message = this.messages.get(id)
    return message?.state === 'claimed' && message.token === token
  }

  private note(message: Stored, reason: string, report: string): void {
    message.reason = reason
    message.reports = keptReports(report === '' ? message.reports : [...message.reports, report])
  }

  private makeDead(id: string, reason: string, report: string, now: number): void {
    const message = this.messages.get(id)
    if (message === undefined) throw new Error(`${id} is not there`)
    Object.assign(message, { state: 'dead', score: now })
    this.note(message, reason, report)
  }

  private trimDead(now: number): number {
    const { deadMax, deadTtlMs } = this.settings.retention
    const dead = this.inState('dead')
    const gone = dead.filter(([, { score }], i) => score <= now - deadTtlMs || i < dead.length - deadMax)
    for (const [id] of gone) this.messages.delete(id)
    return gone.length
  }

  private finish(id: string, state: Finished['state'], finishedAt: number, lateMs: number): void {
    const message = this.messages.get(id)
    if (message === undefined) throw new Error(`${id} is not there`)
    this.messages.delete(id)
    this.history.set(id, { state, finishedAt, lateMs, message })
    if (message.fingerprint !== null) this.known.set(id, `${state} ${message.fingerprint}`)
  }

  private trim(now: number): void {
    const { historyMax, historyTtlMs } = this.settings.retention
    const kept = [...this.history].filter(([, { finishedAt }]) => finishedAt > now - historyTtlMs)
    kept.sort(
      ([a, x], [b, y]) =>
        x.finishedAt - y.finishedAt || (x.state < y.state ? -1 : x.state > y.state ? 1 : a < b ? -1 : 1),
    )
    this.history = new Map(kept.slice(-historyMax))
  }
}
