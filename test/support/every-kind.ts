import type { Cluster, Redis } from 'ioredis'
import { keysOf } from '../../src/store/keys.ts'
import type { Fleet } from './fleet.ts'
import type { Received } from './receiver.ts'
import type { Service } from './service.ts'

const QUEUE = 'every-kind'
const STREAM = 'every-kind'

/** The body of `POST /v1/messages`. */
export type Body = Readonly<Record<string, unknown>>

/**
 * Messages for each kind of destination that the older version of the upgrade tests knows, one without options and one
 * with all of them.
 *
 * @param at epoch ms
 * @param ids prefix of the ids that the client makes
 * @param receiverUrl the webhooks go to `/hook` below it
 */
export function everyKind(at: number, ids: string, receiverUrl: string): Body[] {
  const all = (name: string) => ({
    ...{ at, id: `${ids}-${name}`, tags: [ids, name], notAfter: at + 7_200_000, onLate: 'dead-letter' },
    retry: { attempts: 3, minMs: 50, maxMs: 1_000, factor: 3, jitter: 'none' },
  })
  const payload = { text: 'Zürich "8000"\n', list: [1, 2.5, null, {}] }
  const webhook = { type: 'webhook', url: `${receiverUrl}/hook` }
  const headers = { 'x-kind': 'every' }
  const otherSpelling = webhook.url.replace('127.0.0.1', '127.1')
  return [
    { at, payload },
    { payload, ...all('console'), destination: { type: 'console' } },
    { at, payload, destination: webhook },
    { payload, ...all('webhook'), destination: { ...webhook, method: 'PUT', headers, timeoutMs: 20_000 } },
    { at, payload, destination: { ...webhook, url: otherSpelling } },
    { at, payload, destination: { type: 'stream', name: STREAM } },
    { payload, ...all('stream'), destination: { type: 'stream', name: STREAM, maxLen: 1_000 } },
    { at, payload, destination: { type: 'pull', queue: QUEUE } },
    { payload, ...all('pull'), destination: { type: 'pull', queue: QUEUE } },
  ]
}

/** Sends messages to a server concurrently. @returns their ids, in order */
export const sendAll = (server: Service, bodies: readonly Body[]): Promise<string[]> =>
  Promise.all(
    bodies.map(async (body) => {
      const answer = await server.call('POST', '/v1/messages', body)
      if (answer.status !== 201) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`)
      return answer.body.id
    }),
  )

export interface Lease {
  readonly id: string
  readonly token: string
  readonly attempt: number
  readonly claim: number
  readonly payload: unknown
}

export async function lease(server: Service, queue = QUEUE, more: Body = {}): Promise<Lease[]> {
  const path = `/v1/queues/${queue}/claim`
  const answer = await server.call<{ messages: Lease[] }>('POST', path, { limit: 100, ...more })
  return answer.body.messages
}

/** Leases the due messages of the queue, and acknowledges them to another server. */
export async function pullAll(server: Service, acknowledgedBy: Service): Promise<Lease[]> {
  const leases = await lease(server)
  if (leases.length > 0) {
    const messages = leases.map(({ id, token }) => ({ id, token }))
    const answer = await acknowledgedBy.call('POST', `/v1/queues/${QUEUE}/acknowledge`, { messages })
    if (answer.status !== 200) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`)
  }
  return leases
}

/** A message that arrived at its destination. */
export interface Arrival {
  readonly id: string
  /** higher with each delivery of a message */
  readonly nth: number
  /** the parts that do not depend on the time of arrival */
  readonly content: unknown
}

export interface Arriving {
  readonly fleet: Fleet
  readonly client: Redis | Cluster
  readonly received: readonly Received[]
  readonly pulled: readonly Lease[]
}

/** @returns every arrival so far, at any destination */
export async function arrivals({ fleet, client, received, pulled }: Arriving): Promise<Arrival[]> {
  const shards = Array.from({ length: fleet.shards }, (_, shard) => keysOf(shard, fleet.namespace))
  const streamed = await Promise.all(
    shards.map(async ({ streams, streamPrefix }) => {
      const names = await client.smembers(streams)
      return Promise.all(names.map((name) => client.xrange(`${streamPrefix}${name}`, '-', '+')))
    }),
  )
  return [
    ...fleet
      .delivered()
      .map(({ messageId, attempt, msg }) => ({ id: messageId, nth: attempt, content: msg })),
    ...received.map(({ method, path, headers, body }) => ({
      id: String(headers['webhook-id']),
      nth: Number(headers['carillon-claim']),
      content: { method, path, body, kind: headers['x-kind'], type: headers['content-type'] },
    })),
    ...streamed.flat(2).map(([, fields]) => {
      const { id = '', payload, tags } = Object.fromEntries(pairsOf(fields))
      return { id, nth: 1, content: { payload, tags: (JSON.parse(tags ?? '') as unknown[]).length } }
    }),
    ...pulled.map(({ id, claim, payload }) => ({ id, nth: claim, content: payload })),
  ]
}

const pairsOf = (fields: readonly string[]): [string, string][] =>
  fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : []))
