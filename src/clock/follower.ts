import { UnsupportedRedisError } from '../store/requirements.ts'
import type { ClockStore } from '../store/scripts/test-clock.ts'
import { type ClockState, encodeClock, REAL_TIME, type TestTime } from './test-time.ts'

/** A change that was not heard of is noticed within this time. */
const READ_EVERY_MS = 1_000

/** Keeps a server's time in step with the test clock. */
export interface ClockFollower {
  /** Goes by the clock in Redis as it is now, if there is one. */
  read(): Promise<void>
  /**
   * Goes by the clock in Redis from now on, and makes one if there is none.
   * @throws UnsupportedRedisError if there is none, and the namespace holds messages: they were made without it
   */
  join(): Promise<void>
  /** A server has set the clock. */
  hear(text: string): void
  /** Idempotent; may be called before join(). */
  stop(): Promise<void>
}

export interface FollowerDeps {
  readonly store: ClockStore
  readonly time: TestTime
  readonly serverId: string
  readonly holdsMessages: () => Promise<boolean>
  /** resolves when all outcomes so far are noted in Redis */
  readonly noted: () => Promise<void>
  readonly onChange: (state: ClockState) => void
}

/** What a message that was made without the test clock would see: a due time of another clock. */
const MADE_WITHOUT =
  'TEST_CLOCK is set, but the namespace holds messages that were made without it; set NAMESPACE to another one, or ' +
  'delete them'

export function createClockFollower(deps: FollowerDeps): ClockFollower {
  const { store, time, serverId, holdsMessages, noted, onChange } = deps
  let timer: NodeJS.Timeout | undefined

  async function take(): Promise<void> {
    const { version } = time.state
    await noted()
    await store.take(serverId, version)
  }
  function adopt(reading: { text: string; real?: number }): void {
    const changed = time.adopt(reading)
    if (changed === undefined) return
    onChange(changed)
    void take().catch(() => undefined)
  }
  async function refresh(): Promise<void> {
    const reading = await store.read()
    // Another program has deleted it.
    if (reading.text === '') await store.create(time.text())
    adopt(reading)
  }

  return {
    async read() {
      adopt(await store.read())
    },
    async join() {
      const reading = await store.read()
      if (reading.text === '') {
        if (await holdsMessages()) throw new UnsupportedRedisError(MADE_WITHOUT)
        await store.create(encodeClock({ ...REAL_TIME, version: 1 }))
      }
      const { text, real } = await store.read()
      time.adopt({ text, real })
      await take()
      // The next read makes up for a failed one. Others log that Redis is away.
      timer ??= setInterval(() => void refresh().catch(() => undefined), READ_EVERY_MS)
    },
    hear: (text) => adopt({ text }),
    async stop() {
      clearInterval(timer)
      if (timer === undefined) return
      timer = undefined
      await store.leave(serverId).catch(() => undefined)
    },
  }
}
