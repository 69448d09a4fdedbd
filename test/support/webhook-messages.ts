import type { ServerResponse } from 'node:http'
import { expect } from 'vitest'
import type { MessageReply } from '../../src/http/v1/messages/schemas.ts'
import type { Answer, Received } from './receiver.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

export const ALLOWED = { WEBHOOK_ALLOW: '127.0.0.1' }
/** The shortest lock time, so that another server soon takes over what a server leaves. */
export const SHORT_LOCKS = { ...ALLOWED, LOCK_TTL_MS: '3000' }
export const AT_ONCE = { minMs: 1, maxMs: 1 }

/** Schedules a webhook, due now unless `message` has another time. @returns what the service answered */
export async function scheduleWebhook(
  server: Service,
  url: string,
  message: Readonly<Record<string, unknown>>,
) {
  const scheduled = await server.call('POST', '/v1/messages', {
    payload: { text: 'grüße 🔔' },
    destination: { type: 'webhook', url },
    ...message,
  })
  expect(scheduled.status).toBe(201)
  return scheduled.body
}

/** @returns a message as GET answers it */
export const lookUp = async (server: Service, id: string) =>
  (await server.call('GET', `/v1/messages/${id}`)).body

/** Waits until the fields of a message have these values. @returns the message */
export async function untilIs(
  server: Service,
  id: string,
  wanted: Partial<MessageReply>,
): Promise<MessageReply> {
  let found: Partial<MessageReply> = {}
  const isSo = ([name, value]: [string, unknown]) => found[name as keyof MessageReply] === value
  await until(`message ${id} is ${JSON.stringify(wanted)}`, async () => {
    found = await lookUp(server, id)
    return Object.entries(wanted).every(isSo)
  })
  return found as MessageReply
}

/** An answer for a receiver that leaves every request open until the test answers it. */
export function holding() {
  const held: ServerResponse[] = []
  const answer: Answer = (response) => void held.push(response)
  return { held, answer }
}

const numberIn = (request: Received | undefined, name: string) => Number(request?.headers[name])

/** The `carillon-attempt` of each request. */
export const attemptsOf = (requests: readonly Received[]) =>
  requests.map((request) => numberIn(request, 'carillon-attempt'))

/** Expects each `carillon-claim` to be larger than all before it. */
export function expectGrowingClaims(requests: readonly Received[]): void {
  const claims = requests.map((request) => numberIn(request, 'carillon-claim'))
  expect(claims).toEqual([...new Set(claims)].sort((a, b) => a - b))
}
