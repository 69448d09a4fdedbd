import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { encodeLeaseToken, makeSecret } from '../../../../src/leases/lease-token.ts'

export const ENDS_LEASES = /(acknowledge|release|reject|extend)$/
export const LATER = '2999-01-01T00:00:00.000Z'
/** A lease that no worker holds. */
const NOT_HELD = {
  shard: 0,
  leasedAt: 1,
  lateMs: 0,
  claim: 1,
  secret: makeSecret('mails', { serverId: 's', at: 1 }),
}
const LOST = { messages: [{ id: 'it', token: encodeLeaseToken(NOT_HELD) }] }

/** For each operation a request that is right, given a message "it". */
export const REQUESTS: Readonly<Record<string, { url: string; payload?: unknown }>> = {
  'GET /': { url: '/' },
  'GET /health': { url: '/health' },
  'GET /ready': { url: '/ready' },
  'GET /live': { url: '/live' },
  'GET /metrics': { url: '/metrics' },
  'POST /echoAtTime': { url: '/echoAtTime', payload: { time: LATER, message: 'hello' } },
  'POST /v1/messages': { url: '/v1/messages', payload: { id: 'new', at: LATER, payload: { a: 1 } } },
  'GET /v1/messages': { url: '/v1/messages?limit=10' },
  'GET /v1/count': { url: '/v1/count?status=dead&reason=timeout' },
  'POST /v1/messages/batch': {
    url: '/v1/messages/batch',
    payload: {
      messages: [
        { at: LATER, payload: 1 },
        { at: 5, payload: 1 },
      ],
    },
  },
  'GET /v1/messages/{id}': { url: '/v1/messages/it' },
  'GET /v1/messages/{id}/why': { url: '/v1/messages/it/why' },
  'GET /v1/messages/{id}/timeline': { url: '/v1/messages/it/timeline' },
  'GET /v1/late': { url: '/v1/late' },
  'PATCH /v1/messages/{id}': { url: '/v1/messages/it', payload: { tags: ['changed'] } },
  'DELETE /v1/messages/{id}': { url: '/v1/messages/it' },
  'POST /v1/messages/{id}/deliver': { url: '/v1/messages/it/deliver', payload: { ignorePause: true } },
  'POST /v1/messages/{id}/copy': { url: '/v1/messages/it/copy', payload: { at: LATER } },
  'POST /v1/messages/cancel': { url: '/v1/messages/cancel', payload: { tag: 'none' } },
  'POST /v1/messages/shift': { url: '/v1/messages/shift', payload: { tag: 'none', byMs: 1 } },
  'POST /v1/queues/{queue}/claim': { url: '/v1/queues/mails/claim', payload: { limit: 10 } },
  'POST /v1/queues/{queue}/acknowledge': { url: '/v1/queues/mails/acknowledge', payload: LOST },
  'POST /v1/queues/{queue}/release': { url: '/v1/queues/mails/release', payload: { ...LOST, delay: '1h' } },
  'POST /v1/queues/{queue}/reject': { url: '/v1/queues/mails/reject', payload: { ...LOST, reason: 'no' } },
  'POST /v1/queues/{queue}/extend': { url: '/v1/queues/mails/extend', payload: { ...LOST, lockMs: 5_000 } },
  'POST /v1/dead/redrive': { url: '/v1/dead/redrive', payload: { ids: ['none'], perSecond: 0.5 } },
  'GET /v1/dead/groups': { url: '/v1/dead/groups?by=tag' },
  'DELETE /v1/dead': { url: '/v1/dead', payload: { ids: ['none'] } },
  'POST /v1/pauses': { url: '/v1/pauses', payload: { target: 'tag:none', note: 'why' } },
  'GET /v1/pauses': { url: '/v1/pauses' },
  'DELETE /v1/pauses': { url: '/v1/pauses?target=tag:none', payload: { spread: '10m' } },
  'DELETE /v1/pauses/{target}': { url: '/v1/pauses/tag%3Anone', payload: { perSecond: 5 } },
  'POST /v1/operations': { url: '/v1/operations', payload: { action: 'cancel', filter: { tag: 'none' } } },
  'GET /v1/operations': { url: '/v1/operations' },
  'GET /v1/operations/{id}': { url: '/v1/operations/none' },
  'DELETE /v1/operations/{id}': { url: '/v1/operations/none' },
  'GET /v1/audit': { url: '/v1/audit' },
  'GET /v1/forecast': { url: '/v1/forecast?bucketMs=600000' },
  'GET /v1/stats': { url: '/v1/stats' },
  'GET /v1/destinations': { url: '/v1/destinations' },
  'GET /v1/destinations/{lane}': { url: '/v1/destinations/pull%3Amails' },
  'GET /v1/lateness': { url: '/v1/lateness' },
  'GET /v1/load': { url: '/v1/load' },
  'GET /v1/system': { url: '/v1/system' },
  'GET /v1/me': { url: '/v1/me' },
  'GET /v1/events': { url: '/v1/events?types=delivered,dead' },
}

/** Ends only with its server, or with its client. */
export const STREAM = 'GET /v1/events'

/** Sends the right request of an operation, except for what is given. */
export async function send(
  { app }: { app: FastifyInstance },
  name: string,
  { payload, headers = {}, url }: { payload?: unknown; headers?: Record<string, string>; url?: string } = {},
): Promise<LightMyRequestResponse> {
  const right = REQUESTS[name]
  if (right === undefined) throw new Error(`no request is known for ${name}`)
  const body = payload ?? right.payload
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return app.inject({
    method: name.split(' ')[0] as 'GET',
    url: url ?? right.url,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(text === undefined ? {} : { payload: text }),
  })
}
