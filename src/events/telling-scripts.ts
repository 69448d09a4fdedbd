import { toIso } from '../runtime/iso-time.ts'
import type { ClaimReply } from '../store/scripts/claim.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import { aboutMessage, readHead } from './describe.ts'
import type { EventData, EventSink } from './sink.ts'

const EFFECT_EVENTS = { recovered: 'recovered', dropped: 'dropped', died: 'dead' } as const

/**
 * The scripts, of which those that change messages tell what they did while there are listeners. Servers tell of their
 * own deliveries where they settle them, as they know more of them.
 */
export function tellingScripts(scripts: Scripts, events: EventSink, now: () => number): Scripts {
  const lookUp = lookUpBy(scripts)

  function tellEffects({ effects, now: at }: ClaimReply): void {
    for (const { kind, id, head, reason } of effects) {
      const stored = readHead(head)
      const about = stored === undefined ? { id } : aboutMessage(id, stored)
      const end = kind === 'recovered' ? {} : { finishedAt: toIso(at) }
      events.emit(EFFECT_EVENTS[kind], { ...about, ...end, reason })
    }
  }

  return {
    ...scripts,
    async claim(shard, args) {
      const reply = await scripts.claim(shard, args)
      if (events.isListening) tellEffects(reply)
      return reply
    },

    async claimHosts(shard, args) {
      const reply = await scripts.claimHosts(shard, args)
      if (events.isListening) tellEffects(reply)
      return reply
    },

    async moveToStreams(shard, args) {
      if (!events.isListening) return scripts.moveToStreams(shard, args)
      const reply = await scripts.moveToStreams(shard, { ...args, tells: true })
      tellEffects(reply)
      for (const { id, head, lateMs } of reply.movedMessages) {
        const stored = readHead(head)
        const about = stored === undefined ? { id } : aboutMessage(id, stored)
        events.emit('delivered', { ...about, finishedAt: toIso(reply.now), lateMs })
      }
      return reply
    },

    async lease(shard, args) {
      const reply = await scripts.lease(shard, args)
      if (!events.isListening) return reply
      tellEffects(reply)
      for (const { id, number, record, failures, recoveries } of reply.claims) {
        const stored = readHead(record)
        if (stored === undefined) continue
        const lateMs = Math.max(0, reply.now - stored.dueAt)
        const claimed = { lateMs, attempt: 1 + failures + recoveries, claim: number }
        events.emit('claimed', { ...aboutMessage(id, stored), ...claimed }, stored.payload)
      }
      return reply
    },

    async cancel(shard, args) {
      if (!events.isListening) return scripts.cancel(shard, args)
      const [about, words] = await Promise.all([lookUp(shard, args.ids), scripts.cancel(shard, args)])
      for (const [i, word] of words.entries()) {
        if (word === 'cancelled') events.emit('cancelled', about(args.ids[i] ?? ''))
      }
      return words
    },

    async reschedule(shard, args) {
      const reply = await scripts.reschedule(shard, args)
      if (reply.word !== 'rescheduled' || !events.isListening) return reply
      const stored = readHead(reply.found.record)
      const about = stored === undefined ? { id: args.id } : aboutMessage(args.id, stored)
      events.emit('changed', { ...about, ...(stored && { version: stored.version }) }, stored?.payload)
      return reply
    },

    async shift(shard, args) {
      if (!events.isListening) return scripts.shift(shard, args)
      const [about, reply] = await Promise.all([lookUp(shard, args.ids), scripts.shift(shard, args)])
      const skipped = new Set(reply.notShifted)
      const moved = args.ids.slice(0, reply.processed).filter((id) => !skipped.has(id))
      for (const [i, id] of moved.entries())
        events.emit('changed', shifted(about(id), args, (args.nth ?? 0) + i, now()))
      return reply
    },

    async redrive(shard, args) {
      if (!events.isListening) return scripts.redrive(shard, args)
      const [about, reply] = await Promise.all([lookUp(shard, args.ids), scripts.redrive(shard, args)])
      const unknown = new Set(reply.unknown)
      for (const id of args.ids.slice(0, reply.processed)) {
        if (!unknown.has(id)) events.emit('scheduled', { ...about(id), redriven: true })
      }
      return reply
    },
  }
}

type ShiftArgs = Parameters<Scripts['shift']>[1]

/** @param about what it was before @param place among those that were moved @param now epoch ms */
function shifted(about: EventData, { byMs, latest, everyMs = 0 }: ShiftArgs, place: number, now: number) {
  if (typeof about.at !== 'string') return { ...about, byMs }
  const offset = Math.floor(place * everyMs)
  const due = Date.parse(about.at)
  const at = byMs === 'now' ? Math.min(due, now + offset) : due + byMs + offset
  return { ...about, at: toIso(Math.max(0, Math.min(at, latest))), byMs }
}

/** As tellingScripts, for the leases of pull workers: of those that settle them, too. */
export function tellingLeases(scripts: Scripts, events: EventSink, now: () => number): Scripts {
  const lookUp = lookUpBy(scripts)
  return {
    ...scripts,
    async acknowledge(shard, delivered) {
      if (!events.isListening) return scripts.acknowledge(shard, delivered)
      const ids = delivered.map(({ id }) => id)
      const [about, lost] = await Promise.all([lookUp(shard, ids), scripts.acknowledge(shard, delivered)])
      const finishedAt = toIso(now())
      for (const { id, lateMs } of delivered) {
        const late = lateMs === null ? {} : { lateMs }
        if (!lost.includes(id)) events.emit('delivered', { ...about(id), finishedAt, ...late })
      }
      return lost
    },

    async release(shard, releases) {
      if (!events.isListening) return scripts.release(shard, releases)
      const ids = releases.map(({ id }) => id)
      const [about, reply] = await Promise.all([lookUp(shard, ids), scripts.release(shard, releases)])
      const finishedAt = toIso(now())
      for (const [i, release] of releases.entries()) {
        const [word, nextAt] = [reply.words[i], reply.nextAt[i]]
        if (word === 'lost' || !('reason' in release)) continue
        const next = nextAt === undefined ? {} : { nextAt: toIso(nextAt) }
        const event = { ...about(release.id), finishedAt, reason: release.reason, ...next }
        events.emit(word === 'dead' ? 'dead' : 'failed', event)
      }
      return reply
    },
  }
}

/** For each id what there is to tell of its message; `{id}` where that is not known. */
type About = (id: string) => EventData

/** Reads what messages are, asked for in front of their change: Redis answers one connection in order. */
const lookUpBy =
  (scripts: Pick<Scripts, 'heads'>) =>
  async (shard: number, ids: readonly string[]): Promise<About> => {
    const heads = await scripts.heads(shard, ids).catch(() => [])
    const known = new Map(ids.map((id, i) => [id, readHead(heads[i] ?? '')]))
    return (id) => {
      const stored = known.get(id)
      return stored === undefined ? { id } : aboutMessage(id, stored)
    }
  }
