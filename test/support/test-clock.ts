import { expect } from 'vitest'
import { startFleet } from './fleet.ts'
import type { Service } from './service.ts'
import { ALLOWED } from './webhook-messages.ts'

export const DAY_MS = 86_400_000

/** What `/v1/clock` answers, with the results of an advance. */
export interface Clock {
  readonly now: string
  readonly mode: string
  readonly offsetMs: number
  readonly pending: number
  readonly nextDueAt: string | null
  readonly busy: boolean
  readonly from: string
  readonly to: string
  readonly steps: number
  readonly delivered: number
  readonly failed: number
  readonly dead: number
  readonly dropped: number
  readonly messages: { id: string; at: string; outcome: string }[]
  readonly stoppedBecause: string
}

/** Starts servers with a test clock, on a namespace of their own. */
export const startWithClock = (size = 1, env: Readonly<Record<string, string>> = {}) =>
  startFleet({ size, env: { ...ALLOWED, TEST_CLOCK: 'true', ...env } })

/** @param act such as `advance` @throws unless it is answered 200 */
export async function clock(server: Service, act: string, body: unknown = {}): Promise<Clock> {
  const { status, body: reply } = await server.call<Clock>('POST', `/v1/clock/${act}`, body)
  expect({ status, reply }).toMatchObject({ status: 200 })
  return reply
}

/** @returns what the clock shows, epoch ms */
export const clockNow = async (server: Service): Promise<number> =>
  Date.parse((await server.call<Clock>('GET', '/v1/clock')).body.now)

/** Schedules a message, with any fields. */
export async function create(server: Service, message: object): Promise<void> {
  const { status, body } = await server.call('POST', '/v1/messages', { payload: null, ...message })
  expect({ status, body }).toMatchObject({ status: 201 })
}
