import { isNumberOrAbsent, isObject, isText, isTextOrAbsent, parseJson } from '../../domain/json/shape.ts'
import type { DestinationKind } from '../kind.ts'
import { originOf, spelledOrigin } from './origin.ts'
import { DEFAULT_WEBHOOK_TIMEOUT_MS, type WebhookDestination, webhookSchema } from './schema.ts'
import { createWebhookSender } from './sender.ts'
import { webhookDestinationProblems } from './target.ts'

const PREFIX = 'webhook:'

/** HTTP endpoints; those of one origin share a lane. */
export const webhookKind: DestinationKind<WebhookDestination> = {
  type: 'webhook',
  schema: webhookSchema,
  form: '{"type":"webhook","url":"https://..."}',
  laneOf: ({ url }) => PREFIX + originOf(url),

  /** `url` is what comes behind the origin, and `host` the origin as it was given where that is another spelling. */
  restOf({ type: _, url, ...rest }) {
    const host = spelledOrigin(url)
    const behind = url.slice(host.length)
    return JSON.stringify({ url: behind, ...(host === originOf(url) ? {} : { host }), ...rest })
  },

  read(lane, rest) {
    const stored = parseJson(rest)
    if (!isObject(stored) || !isText(stored.url) || !isTextOrAbsent(stored.host)) return undefined
    const { url, host = lane.slice(PREFIX.length), ...options } = stored
    const target = { type: 'webhook', url: host + url, ...options }
    return isWebhook(target) ? target : undefined
  },

  withDefaults: (target) => ({
    ...{ method: 'POST', headers: {}, timeoutMs: DEFAULT_WEBHOOK_TIMEOUT_MS },
    ...target,
  }),
  problemsOf: webhookDestinationProblems,
  createSender: createWebhookSender,
}

/** Whether it is a usable webhook: a server wrote it, unless another program has changed it. */
export function isWebhook(value: unknown): value is WebhookDestination {
  if (!isObject(value)) return false
  const { type, url, method, timeoutMs, headers = {} } = value
  return (
    type === 'webhook' &&
    isText(url) &&
    isTextOrAbsent(method) &&
    isNumberOrAbsent(timeoutMs) &&
    isObject(headers) &&
    Object.values(headers).every(isText)
  )
}
