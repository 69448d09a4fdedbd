import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Lease, LeaseRef, Leases } from '../../../leases/leases.ts'
import { addJsonParser } from '../../body/json-parser.ts'
import { parseFields } from '../../body/request-json.ts'
import { sendFailure } from '../../plugins/errors.ts'
import { parseDelay } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { JSON_UTF8 } from '../messages/message-text.ts'
import { toIso } from '../messages/translate.ts'
import { Problem } from '../problem.schemas.ts'
import { sendInDoubt, watchPresence } from './client-presence.ts'
import {
  AcknowledgeBody,
  AcknowledgeReply,
  ALL_LOST,
  ClaimBody,
  ClaimReply,
  ExtendBody,
  ExtendReply,
  QueueParams,
  ReleaseBody,
  ReleaseReply,
} from './schemas.ts'

export interface QueueRoutesOptions {
  readonly leases: Leases
  /** how long a lease holds unless a worker says otherwise */
  readonly lockMs: number
  /** bytes a body may have */
  readonly bodyLimit: number
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

const problems = { '4xx': Problem, '5xx': Problem }
const tags = ['queues']

/** Workers in any language lease messages, and say what became of them. */
export const queueRoutes: FastifyPluginAsyncTypebox<QueueRoutesOptions> = async (app, options) => {
  const { leases, now } = options
  const allWaiting = new Set<AbortController>()
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
    for (const each of allWaiting) each.abort()
  })

  // Here a body may be left out, whatever type the client says that it has.
  addJsonParser(app, options.bodyLimit, (text) => (text === '' ? undefined : parseFields(text)))
  app.addContentTypeParser('*', ({ headers }, _stream, done) =>
    hasNoBody(headers) ? done(null) : done(wrongType()),
  )

  app.post(
    '/queues/:queue/claim',
    {
      schema: {
        summary: 'Claim messages from a queue',
        tags,
        params: QueueParams,
        body: ClaimBody,
        response: { 200: ClaimReply, ...problems },
      },
      preValidation: async (request) => {
        if (request.body === undefined) request.body = {}
      },
    },
    async (request, reply) => {
      const { limit = 1, lockMs = options.lockMs, waitMs = 0 } = request.body
      const client = watchPresence(request, reply)
      const { waiting } = client
      if (closing) waiting.abort()
      allWaiting.add(waiting)
      if (waitMs > 0) request.inHand?.leave()
      const claim = async (waitMs: number, signal: AbortSignal) =>
        signal.aborted ? [] : leases.claim(request.params.queue, { limit, lockMs, waitMs }, signal)
      try {
        let claimed = await claim(waitMs, waiting.signal)
        if (claimed.length === 0 && client.isInDoubt() && !closing) claimed = await claim(0, client.gone)
        // Text, as the payloads in it are, and so past the response schema, which describes it.
        const answer = `{"messages":[${claimed.map(toText).join(',')}]}`
        if (claimed.length === 0 || !client.isInDoubt()) {
          return (reply as FastifyReply).type(JSON_UTF8).send(answer)
        }
        if (!(await sendInDoubt(reply, answer))) leases.giveBack(claimed)
        return reply
      } finally {
        allWaiting.delete(waiting)
        client.end()
      }
    },
  )

  app.post(
    '/queues/:queue/acknowledge',
    {
      schema: {
        summary: 'Acknowledge messages that were claimed',
        tags,
        params: QueueParams,
        body: AcknowledgeBody,
        response: { 200: AcknowledgeReply, ...problems },
      },
    },
    async (request, reply) => {
      const refs = distinct(request.body.messages)
      const lost = await leases.acknowledge(refs, request.onlyQueue)
      if (lost.length === refs.length) return allLost(request, reply, { acknowledged: 0, lost })
      return { acknowledged: refs.length - lost.length, lost }
    },
  )

  app.post(
    '/queues/:queue/release',
    {
      schema: {
        summary: 'Hand messages back that were claimed',
        tags,
        params: QueueParams,
        body: ReleaseBody,
        response: { 200: ReleaseReply, ...problems },
      },
    },
    async (request, reply) => {
      const { messages, delay } = request.body
      const refs = distinct(messages)
      const lost = await leases.release(
        refs,
        delay === undefined ? null : delayOf(delay, now()),
        request.onlyQueue,
      )
      if (lost.length === refs.length) return allLost(request, reply, { released: 0, lost })
      return { released: refs.length - lost.length, lost }
    },
  )

  app.post(
    '/queues/:queue/extend',
    {
      schema: {
        summary: 'Go on leasing messages that were claimed',
        tags,
        params: QueueParams,
        body: ExtendBody,
        response: { 200: ExtendReply, ...problems },
      },
    },
    async (request, reply) => {
      const { messages, lockMs = options.lockMs } = request.body
      const refs = distinct(messages)
      const lost = await leases.extend(refs, lockMs, request.onlyQueue)
      if (lost.length === refs.length) return allLost(request, reply, { extended: 0, lost })
      return { extended: refs.length - lost.length, lost }
    },
  )
}

const hasNoBody = (headers: IncomingHttpHeaders) =>
  headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0

const wrongType = () =>
  Object.assign(new Error('content-type: must be application/json'), { statusCode: 415 })

/** A lease as it is answered, as JSON text: its payload is put in as it is stored. @see ClaimReply */
const toText = ({ id, token, payload, dueAt, attempt, claim, lateMs }: Lease): string =>
  `{"id":${JSON.stringify(id)},"token":"${token}","payload":${payload},"at":"${toIso(dueAt)}",` +
  `"attempt":${attempt},"claim":${claim},"lateMs":${lateMs}}`

/** A lease that is named twice would be lost the second time. */
function distinct(refs: readonly LeaseRef[]): LeaseRef[] {
  return [...new Map(refs.map((ref) => [JSON.stringify([ref.id, ref.token]), ref])).values()]
}

function delayOf(delay: number | string, now: number): number {
  const ms = parseDelay(delay, now)
  if (typeof ms === 'string') throw new InvalidRequestError([{ path: '/delay', message: ms }])
  return ms
}

const allLost = (request: FastifyRequest, reply: FastifyReply, members: Record<string, unknown>) =>
  sendFailure(request, reply, { ...ALL_LOST, members })
