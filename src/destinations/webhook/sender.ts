import { DEFAULT_WEBHOOK_TIMEOUT_MS, type WebhookTarget } from '../../domain/message.ts'
import type { BreakOffSignal } from '../../runtime/cancel-signal.ts'
import type { Delivery, Sender } from '../delivery.ts'
import type { AllowList } from './addresses.ts'
import { createWebhookClient, type Ending, type WebhookClient, type WebhookRequest } from './client.ts'
import { type LookupAll, lookupAll } from './guarded-lookup.ts'
import { type Signing, webhookHeaders } from './headers.ts'
import { judge } from './outcome.ts'

export interface WebhookSenderOptions {
  /** each of them signs; with none, webhooks go unsigned */
  readonly secrets: readonly Buffer[]
  readonly allow: AllowList
  /** Redis's clock, epoch ms */
  readonly now: () => number
  /** tests answer for names themselves */
  readonly lookup?: LookupAll
}

/** Sends each message to the HTTP endpoint it is meant for. @see webhook-outcome.ts for what a response means */
export function createWebhookSender({
  secrets,
  allow,
  now,
  lookup = lookupAll,
}: WebhookSenderOptions): Sender {
  const client = createWebhookClient(allow, lookup)
  return {
    async send(delivery, signal, onOver = () => undefined) {
      const at = now()
      const begunAt = performance.now()
      const ending = await attempt(client, delivery, { secrets, now: at }, { signal, onOver })
      const durationMs = Math.round(performance.now() - begunAt)
      return judge(ending, { at, claim: delivery.claim, durationMs }, now())
    },
    close: () => client.close(),
  }
}

async function attempt(
  client: WebhookClient,
  delivery: Delivery,
  signing: Signing,
  limits: { readonly signal: BreakOffSignal; readonly onOver: () => void },
): Promise<Ending> {
  // The lane of a webhook holds nothing else.
  const target = delivery.target as WebhookTarget
  const { method = 'POST', timeoutMs = DEFAULT_WEBHOOK_TIMEOUT_MS } = target
  const body = method === 'GET' ? null : delivery.payload
  let request: WebhookRequest
  try {
    request = { method, ...placeOf(target), headers: webhookHeaders(delivery, target, body, signing), body }
  } catch (error) {
    limits.onOver()
    return { kind: 'error', error: error as Error } // of the URL's parser, or of the time's
  }
  return client.send(request, { timeoutMs, ...limits })
}

const places = new WeakMap<WebhookTarget, Pick<WebhookRequest, 'origin' | 'path'>>()

/** Where a target's URL leads, read once for each target. @throws TypeError when it cannot be read */
function placeOf(target: WebhookTarget): Pick<WebhookRequest, 'origin' | 'path'> {
  let place = places.get(target)
  if (place === undefined) {
    const { origin, pathname, search } = new URL(target.url)
    place = { origin, path: pathname + search }
    places.set(target, place)
  }
  return place
}
