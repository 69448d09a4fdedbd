import { Cluster } from 'ioredis'
import { expect } from 'vitest'
import type { Due } from '../../src/domain/message.ts'
import { encodeOptions } from '../../src/records/record.ts'
import type { Changes } from '../../src/store/scripts/change.ts'
import { type AllClaimed, type ClaimRoom, claimAll, LOCK_MS, WIDE } from './claim-all.ts'
import { checkKeys } from './invariants.ts'
import type { ScriptWorld } from './script-world.ts'
import { ANY_STATE, type Draft, entry, LAST, postponed, rejected } from './values.ts'

/** Schedules a message. @returns the word of the script */
export async function put(w: ScriptWorld, id: string, draft: Draft = {}): Promise<string> {
  const { words } = await w.scripts.schedule(w.shard, [entry(id, draft)])
  return words[0] ?? ''
}

export interface Claimed extends AllClaimed {
  readonly token: string
  readonly ids: string[]
}

let tokens = 0

/** Claims due messages with a new token, of every kind unless `room` is smaller. */
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

/** Cancels a message, scheduled or dead. @returns the word of the script */
export const cancel = async (w: ScriptWorld, id: string, ifMatch = '') =>
  (await w.scripts.cancel(w.shard, { ids: [id], ifMatch, states: ANY_STATE }))[0]

export const shift = (w: ScriptWorld, ids: string[], byMs: number) =>
  w.scripts.shift(w.shard, { ids, byMs, latest: LAST })

export const redrive = (
  w: ScriptWorld,
  ids: readonly string[],
  { from = null as number | null, everyMs = 0, before = 0 } = {},
) => w.scripts.redrive(w.shard, { ids, from, everyMs, before })

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
