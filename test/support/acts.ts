import { Cluster, type Redis } from 'ioredis'
import { expect } from 'vitest'
import type { AttemptReport, Destination, Due, MessageOptions } from '../../src/domain/message.ts'
import { fingerprintOf } from '../../src/records/fingerprint.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../src/records/record.ts'
import type { Changes } from '../../src/store/scripts/change.ts'
import type { Claim } from '../../src/store/scripts/claim.ts'
import type { FoundMessage, ListQuery } from '../../src/store/scripts/query.ts'
import type { ScheduleEntry } from '../../src/store/scripts/schedule.ts'
import type { Release } from '../../src/store/scripts/settle.ts'
import { type AllClaimed, type ClaimRoom, claimAll } from './claim-all.ts'
import { checkKeys } from './invariants.ts'
import type { ScriptWorld } from './script-world.ts'

/** Short calls of the scripts, for tests. */

export const LOCK_MS = 600_000
export const HOUR_MS = 3_600_000
/** 9999-12-31T23:59:59.999Z */
export const LAST = 253_402_300_799_999

export const FIRST_PAGE: ListQuery = {
  index: 'scheduled',
  from: null,
  before: null,
  after: null,
  limit: 100,
  bytes: 1e9,
  keep: 'all',
}

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

export async function put(w: ScriptWorld, id: string, draft: Draft = {}): Promise<string> {
  const { words } = await w.scripts.schedule(w.shard, [entry(id, draft)])
  return words[0] ?? ''
}

/** @returns `count` ids in order */
export const ids = (count: number, prefix = '~') =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(5, '0')}`)

export const webhook = (host: string, path = '/'): Destination => ({ type: 'webhook', url: host + path })
export const pull = (queue: string): Destination => ({ type: 'pull', queue })

/** Room for every kind that servers deliver. */
export const WIDE: ClaimRoom = {
  ...{ limit: 10_000, streamLimit: 10_000, slots: 10_000, hostSlots: 10_000, reserve: 0 },
  lanes: new Map(),
}

/** Room for the main due set alone, so that a claim is one call. */
export const MAIN_ONLY: Partial<ClaimRoom> = { streamLimit: 0, hostSlots: 0 }

/** Room for the messages of one queue, as a worker claims them. */
export const workerRoom = (queue: string, slots = 10_000): ClaimRoom => ({
  ...{ limit: 0, streamLimit: 0, slots, hostSlots: 0, reserve: 0 },
  lanes: new Map([[`pull:${queue}`, slots]]),
})

export interface Claimed extends AllClaimed {
  readonly token: string
  readonly ids: string[]
}

let tokens = 0
export async function claim(
  w: ScriptWorld,
  room: Partial<ClaimRoom> = {},
  lockMs = LOCK_MS,
): Promise<Claimed> {
  tokens += 1
  const token = `t${tokens}`
  const reply = await claimAll(w.scripts, w.shard, { token, lockMs, room: { ...WIDE, ...room } })
  return { ...reply, token, ids: reply.claims.map(({ id }) => id) }
}

/** Claims due messages and acknowledges them. */
export async function deliver(
  w: ScriptWorld,
  lateMs: number | null = 0,
  room: Partial<ClaimRoom> = {},
): Promise<string[]> {
  const { ids, token } = await claim(w, room)
  await w.scripts.acknowledge(
    w.shard,
    ids.map((id) => ({ id, token, lateMs })),
  )
  return ids
}

export const report = (claim: number): AttemptReport => ({ at: 1, claim, durationMs: 2, error: 'no' })

/** A release of a failed delivery, to be retried after `delayMs`. */
export const postponed = (token: string, id: string, delayMs: number): Release => ({
  ...{ id, token, why: 'postponed', delayMs, reason: 'busy', report: '' },
})

export const rejected = (token: string, id: string, reason = 'status 404'): Release => ({
  ...{ id, token, why: 'rejected', reason, report: JSON.stringify(report(1)) },
})

/** Claims due messages and releases them as failed. */
export async function fail(w: ScriptWorld, retryInMs: number, room: Partial<ClaimRoom> = {}): Promise<void> {
  const { ids, token } = await claim(w, room)
  await w.scripts.release(
    w.shard,
    ids.map((id) => postponed(token, id, retryInMs)),
  )
}

/** Claims due messages and makes dead letters of them. */
export async function reject(
  w: ScriptWorld,
  reason?: string,
  room: Partial<ClaimRoom> = {},
): Promise<Claimed> {
  const claimed = await claim(w, room)
  const releases = claimed.ids.map((id) => rejected(claimed.token, id, reason))
  const { words } = await w.scripts.release(w.shard, releases)
  expect(words).toEqual(claimed.ids.map(() => 'dead'))
  return claimed
}

export const returned = (token: string, { id, attemptDueAt }: Claim): Release => ({
  ...{ id, token, why: 'returned', dueAt: attemptDueAt },
})

export interface Change {
  readonly due?: Due
  readonly payload?: unknown
  readonly options?: Parameters<typeof encodeOptions>[0]
  readonly ifMatch?: string
}

export function reschedule(w: ScriptWorld, id: string, { due, payload, options = {}, ifMatch = '' }: Change) {
  const changes: Changes = {
    due: due ?? null,
    payload: payload === undefined ? null : JSON.stringify(payload),
    options: encodeOptions(options),
  }
  return w.scripts.reschedule(w.shard, { id, ifMatch, changes })
}

export const ANY_STATE = ['scheduled', 'dead'] as const

export const cancel = async (w: ScriptWorld, id: string, ifMatch = '') =>
  (await w.scripts.cancel(w.shard, { ids: [id], ifMatch, states: ANY_STATE }))[0]

export const shift = (w: ScriptWorld, ids: string[], byMs: number) =>
  w.scripts.shift(w.shard, { ids, byMs, latest: LAST })

export const redrive = (
  w: ScriptWorld,
  ids: readonly string[],
  { from = null as number | null, everyMs = 0, before = 0 } = {},
) => w.scripts.redrive(w.shard, { ids, from, everyMs, before })

export const find = async (w: ScriptWorld, id: string): Promise<FoundMessage | undefined> =>
  (await w.scripts.find(w.shard, [id]))[0]

export const stateOf = async (w: ScriptWorld, id: string) => (await find(w, id))?.state ?? 'unknown'

export const scoreOf = async (w: ScriptWorld, id: string): Promise<number> =>
  (await find(w, id))?.score ?? Number.NaN

export async function recordOf(w: ScriptWorld, id: string) {
  const record = await w.client.hget(w.keys.messages, id)
  if (record === null) throw new Error(`${id} has no record`)
  return decodeRecord(record)
}

export const tagged = (w: ScriptWorld, tag: string) =>
  w.client.zrange(w.keys.tagPrefix + tag, '0', '-1', 'WITHSCORES')

/**
 * The names of all keys of the shard, without their common prefix. The counter of claims is left out, and so are the
 * stored answers of schedule calls, which expire.
 */
export async function keysIn(w: ScriptWorld): Promise<string[]> {
  const nodes: Redis[] = w.client instanceof Cluster ? w.client.nodes('master') : [w.client]
  const prefix = w.keys.lockPrefix.slice(0, -'lock:'.length)
  const found = await Promise.all(nodes.map((node) => node.keys(`${prefix}*`)))
  return found
    .flat()
    .map((key) => key.slice(prefix.length))
    .filter((key) => key !== 'claims' && key !== 'clock' && !key.startsWith('call:'))
    .sort()
}

/** The wakes that scripts published after `listen`. */
export interface Listener {
  /** @returns the wakes after the last call, each as "<in ms> <lane>" */
  heard(): Promise<string[]>
  stop(): void
}

/** Subscribes to wakes, as a server does. */
export async function listen(w: ScriptWorld): Promise<Listener> {
  const channel = `${w.namespace}:wake`
  let texts: string[] = []
  const listener = w.client instanceof Cluster ? w.client.duplicate() : w.client.duplicate()
  await new Promise((resolve) => listener.once('ready', resolve))
  await listener.subscribe(channel)
  listener.on('message', (_channel: string, text: string) => texts.push(text))
  const wakes: Listener = {
    async heard() {
      // One node publishes in order: everything before the marker has arrived with it.
      await w.client.eval("redis.call('PUBLISH', ARGV[1], 'marker')", 1, w.keys.scheduled, channel)
      await expect.poll(() => texts.at(-1)).toBe('marker')
      const heard = texts.slice(0, -1).map((text) => {
        if (text === `help ${w.shard}`) return 'help'
        expect(text.startsWith(`${w.shard} `)).toBe(true)
        return text.slice(`${w.shard} `.length)
      })
      texts = []
      return heard
    },
    stop: () => listener.disconnect(),
  }
  // What another node of a cluster published earlier may arrive only now.
  await wakes.heard()
  return wakes
}

/** Runs steps in order, and checks before and after each that the keys are consistent. */
export async function inSteps(w: ScriptWorld, ...steps: (() => Promise<unknown>)[]): Promise<void> {
  for (const step of steps) {
    await step()
    await checkKeys(w)
  }
}
