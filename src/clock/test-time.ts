import { createRedisClock, type RedisClock } from '../store/redis-clock.ts'
import type { ClockReading } from '../store/scripts/test-clock.ts'

/** A test clock: it showed `at` at `since` by Redis's clock, and is `rate` times as fast, 0 for frozen. Epoch ms. */
export interface ClockState {
  readonly at: number
  readonly since: number
  readonly rate: number
  /** grows with each change */
  readonly version: number
  /** the rate that it has again after the act that has stopped it; null if none has */
  readonly resume: number | null
}

/** The clock that shows real time. */
export const REAL_TIME: ClockState = { at: 0, since: 0, rate: 1, version: 0, resume: null }

export const encodeClock = ({ at, since, rate, version, resume }: ClockState): string =>
  `${at} ${since} ${rate} ${version} ${resume ?? '-'}`

const FORM = /^(\d+) (\d+) ([\d.]+) (\d+) ([\d.]+|-)$/

/** @returns undefined if the text is no clock */
export function decodeClock(text: string): ClockState | undefined {
  const match = FORM.exec(text)
  if (match === null) return undefined
  const [at = 0, since = 0, rate = 1, version = 0] = match.slice(1, 5).map(Number)
  return { at, since, rate, version, resume: match[5] === '-' ? null : Number(match[5]) }
}

/** The time of a server with a test clock. */
export interface TestTime extends RedisClock {
  readonly state: ClockState
  /** Redis's own time, epoch ms */
  real(): number
  /** what scripts are given: see lua/lib/clock.lua */
  text(): string
  /** Goes by a clock, unless it knows a newer one. @returns its state if it is newer than the one before */
  adopt(reading: Partial<ClockReading> & { text: string }): ClockState | undefined
}

export function createTestTime(): TestTime {
  const redis = createRedisClock()
  let state = REAL_TIME
  let text = encodeClock(state)
  return {
    get state() {
      return state
    },
    // What scripts answer is the time of the test clock.
    observe: () => undefined,
    now: () => state.at + Math.floor((redis.now() - state.since) * state.rate),
    real: redis.now,
    text: () => text,
    adopt(reading) {
      if (reading.real !== undefined) redis.observe(reading.real)
      const next = decodeClock(reading.text)
      if (next === undefined || next.version <= state.version) return undefined
      state = next
      text = reading.text
      return state
    },
  }
}
