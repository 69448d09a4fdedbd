import type { CancelSignal } from '../../runtime/cancel-signal.ts'
import type { Delivery, Sender } from '../delivery.ts'
import type { DestinationDeps } from '../kind.ts'
import { createWebhookClient, type WebhookClient, type WebhookRequest } from './client.ts'
import { type LookupAll, lookupAll } from './guarded-lookup.ts'
import { type Signing, webhookHeaders } from './headers.ts'
import type { RequestResult } from './in-flight-request.ts'
import { classify } from './outcome.ts'
import { DEFAULT_WEBHOOK_TIMEOUT_MS, type WebhookDestination } from './schema.ts'

export interface WebhookSenderOptions extends DestinationDeps {
  /** tests answer for names themselves */
  readonly lookup?: LookupAll
}

/** Sends each message to the HTTP endpoint it is meant for. @see outcome.ts for what a response means */
export function createWebhookSender({
  secrets,
  allow,
  now,
  lookup = lookupAll,
}: WebhookSenderOptions): Sender {
  const client = createWebhookClient(allow, lookup)
  return {
    async send(delivery, signal, onReleased = () => undefined) {
      const at = now()
      const begunAt = performance.now()
      const result = await sendRequest(client, delivery, { secrets, now: at }, { signal, onReleased })
      const durationMs = Math.round(performance.now() - begunAt)
      return classify(result, { at, claim: delivery.claim, durationMs }, now())
    },
    close: () => client.close(),
  }
}

async function sendRequest(
  client: WebhookClient,
  delivery: Delivery,
  signing: Signing,
  limits: { readonly signal: CancelSignal; readonly onReleased: () => void },
): Promise<RequestResult> {
  // The registry sends messages of this type here, and no others.
  const destination = delivery.destination as WebhookDestination
  const { method = 'POST', timeoutMs = DEFAULT_WEBHOOK_TIMEOUT_MS } = destination
  const body = method === 'GET' ? null : delivery.payload
  let request: WebhookRequest
  try {
    request = {
      method,
      ...endpointOf(destination),
      headers: webhookHeaders(delivery, destination, body, signing),
      body,
    }
  } catch (error) {
    limits.onReleased()
    return { kind: 'error', error: error as Error } // of the URL's parser, or of the time's
  }
  return client.send(request, { timeoutMs, ...limits })
}

/** Where a destination's URL leads. @throws TypeError when it cannot be read */
function endpointOf(destination: WebhookDestination): Pick<WebhookRequest, 'origin' | 'path'> {
  const { origin, pathname, search } = new URL(destination.url)
  return { origin, path: pathname + search }
}
