import { onTestFinished } from 'vitest'
import type { Delivery } from '../../src/destinations/delivery.ts'
import { parseAllowList } from '../../src/destinations/webhook/addresses.ts'
import type { LookupAll } from '../../src/destinations/webhook/guarded-lookup.ts'
import type { WebhookDestination } from '../../src/destinations/webhook/schema.ts'
import { parseWebhookSecrets } from '../../src/destinations/webhook/secrets.ts'
import { createWebhookSender } from '../../src/destinations/webhook/sender.ts'
import { type Answer, openReceiver } from './receiver.ts'

export const never = new AbortController().signal

/** A webhook sender that may reach this machine, unless `allow` says otherwise. It closes with the test. */
export function openSender({
  secrets = '',
  allow = '127.0.0.1',
  now = Date.now,
  lookup,
}: {
  secrets?: string
  allow?: string
  now?: () => number
  lookup?: LookupAll
} = {}) {
  const sender = createWebhookSender({
    secrets: parseWebhookSecrets(secrets),
    allow: parseAllowList(allow),
    now,
    ...(lookup === undefined ? {} : { lookup }),
  })
  onTestFinished(() => sender.close())
  return sender
}

export const delivery = (
  url: string,
  target: Partial<WebhookDestination> = {},
  rest: Partial<Delivery> = {},
): Delivery => ({
  id: 'order-1',
  shard: 0,
  token: 'token',
  claim: 17,
  dueAt: Date.UTC(2030, 0, 2, 3, 4, 5, 6),
  attemptDueAt: Date.UTC(2030, 0, 2, 3, 5),
  lateMs: 12,
  attempt: 3,
  payload: '{"text":"grüße 🔔"}',
  destination: { type: 'webhook', url, ...target },
  lane: '',
  ...rest,
})

/** Sends one message to a receiver with this answer. */
export async function sendTo(answer: Answer, target: Partial<WebhookDestination> = {}) {
  const receiver = await openReceiver(answer)
  const outcome = await openSender().send(delivery(receiver.url, target), never)
  return { outcome, receiver }
}
