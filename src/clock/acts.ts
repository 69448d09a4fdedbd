import { randomBytes } from 'node:crypto'
import { SchedulerError } from '../domain/errors.ts'
import { sleep } from '../runtime/sleep.ts'
import type { ClockStore, Wake } from '../store/scripts/test-clock.ts'
import type { Settled } from './settled.ts'
import type { TestTime } from './test-time.ts'

const FIRST_WAIT_MS = 1
const LONGEST_WAIT_MS = 20

/** What an act may set. What is absent stays. */
export interface Setting {
  /** what the clock is to show, epoch ms */
  readonly at?: number | 'real'
  readonly rate: number
  /** the rate that the clock has again if this server dies during the act */
  readonly resume?: number | null
  /** whether the act ends with it */
  readonly ends?: boolean
  readonly wakes?: readonly Wake[]
}

/** An act that changes the clock: one at a time, over all servers. */
export interface Act {
  /**
   * Sets the clock. @returns once all live servers go by it
   * @throws SchedulerError CLOCK_BUSY if another act has begun meanwhile, as this one has taken too long
   */
  set(setting: Setting): Promise<void>
}

export interface ActsDeps {
  readonly store: ClockStore
  readonly time: TestTime
  readonly serverId: string
  readonly settled: Pick<Settled, 'liveServers'>
  /** wakes the claimers of this server */
  readonly wake: (shard: number, inMs: number, lane: string) => void
  /** goes by the clock that was set, on this server */
  readonly hear: (text: string) => void
  /** resolves when all outcomes so far are noted in Redis */
  readonly noted: () => Promise<void>
}

export type RunAct = <T>(act: (act: Act) => Promise<T>) => Promise<T>

/** @returns a function that runs an act @throws SchedulerError CLOCK_BUSY while another one is in progress */
export function createActs({ store, time, serverId, settled, wake, hear, noted }: ActsDeps): RunAct {
  /** Waits until every live server that has the clock goes by this version of it. */
  async function taken(version: number, isFresh: boolean): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      const others = (await settled.liveServers(isFresh ? 0 : undefined)).filter((id) => id !== serverId)
      if (others.length === 0) return
      const versions = await store.taken()
      if (others.every((id) => (versions.get(id) ?? version) >= version)) return
      await store.hold()
      await sleep(waitMs, new AbortController().signal)
    }
  }

  return async (run) => {
    const token = `${serverId}:${randomBytes(6).toString('base64url')}`
    if (!(await store.begin(token))) throw busy()
    let hasEnded = false
    const set = async ({ at, rate, resume = null, ends = false, wakes = [] }: Setting) => {
      const reading = await store.set(token, { at: at ?? null, rate, resume, wakes })
      if (reading.text === '') throw busy()
      time.adopt({ text: time.text(), real: reading.real })
      hear(reading.text)
      for (const { shard, lane } of wakes) wake(shard, 0, lane)
      await taken(time.state.version, resume === null)
      await noted()
      if (!ends) return
      hasEnded = true
      await store.end()
    }
    try {
      return await run({ set })
    } finally {
      // The clock continues as before an act that has failed.
      const { rate, resume } = time.state
      if (!hasEnded) await set({ rate: resume ?? rate, ends: true }).catch(() => undefined)
    }
  }
}

const busy = () => new SchedulerError('CLOCK_BUSY', 'another act changes the test clock')
