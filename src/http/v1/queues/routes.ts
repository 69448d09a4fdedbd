import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { TObject } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AtQueue, Lease, LeaseRef } from '../../../leases/lease.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { addOptionalJsonParser, withoutBodyEmpty } from '../../body/json-parser.ts'
import { parseFields } from '../../body/request-json.ts'
import { badBody } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { sendError } from '../../plugins/errors.ts'
import { parseDelay } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { JSON_UTF8 } from '../messages/message-text.ts'
import { sendTentatively, watchPresence } from './client-presence.ts'
import {
  AcknowledgeBody,
  AcknowledgeLost,
  AcknowledgeReply,
  ALL_LOST,
  ClaimBody,
  ClaimReply,
  ExtendBody,
  ExtendLost,
  ExtendReply,
  QueueParams,
  RejectBody,
  RejectLost,
  RejectReply,
  ReleaseBody,
  ReleaseLost,
  ReleaseReply,
} from './schemas.ts'

type Deps = Pick<ApiDeps, 'leases' | 'lockMs' | 'bodyLimit' | 'now'>

const BAD_CLAIM = badBody('limit: must be 1 to 1000 messages (default 1)')
const BAD_LEASES = badBody('messages: is missing; it must be an array of 1 to 1000 objects with id and token')
const allLostAs = (schema: TObject) => ({
  status: 409,
  description: 'all leases were lost; nothing was changed',
  schema,
})

const CLAIM = route({
  operationId: 'claimMessages',
  tag: 'queues',
  summary: 'Claim messages from a queue',
  description:
    'Leases due messages to one worker: until the lease ends, no other worker gets them. If no message is due, ' +
    'the request waits up to `waitMs`. A message whose lease ends unacknowledged is leased again, a few times.',
  params: QueueParams,
  body: ClaimBody,
  bodyOptional: true,
  response: { 200: answer('the claimed messages; empty if none became due', ClaimReply) },
  fails: [BAD_CLAIM],
})

const ACKNOWLEDGE = route({
  operationId: 'acknowledgeMessages',
  tag: 'queues',
  summary: 'Acknowledge messages',
  description: 'Marks leased messages as delivered. They are never leased again.',
  params: QueueParams,
  body: AcknowledgeBody,
  response: { 200: answer('how many were acknowledged, and the lost leases', AcknowledgeReply) },
  fails: [BAD_LEASES, allLostAs(AcknowledgeLost)],
})

const RELEASE = route({
  operationId: 'releaseMessages',
  tag: 'queues',
  summary: 'Release (nack) messages',
  description:
    'Their deliveries failed. Each is leased again after `delay` or, by default, after the back-off of its ' +
    'retry policy; without attempts left it becomes a dead letter. With `failed: false` they were not tried: this ' +
    'counts as nothing, and each is leased again after `delay` or at once.',
  params: QueueParams,
  body: ReleaseBody,
  response: { 200: answer('how many were released, and the lost leases', ReleaseReply) },
  fails: [BAD_LEASES, allLostAs(ReleaseLost)],
})

const REJECT = route({
  operationId: 'rejectMessages',
  tag: 'queues',
  summary: 'Reject messages',
  description: 'They become dead letters at once, also with attempts left.',
  params: QueueParams,
  body: RejectBody,
  response: { 200: answer('how many were rejected, and the lost leases', RejectReply) },
  fails: [BAD_LEASES, allLostAs(RejectLost)],
})

const EXTEND = route({
  operationId: 'extendMessages',
  tag: 'queues',
  summary: 'Extend leases',
  description: 'The leases end `lockMs` from now, however much time was left.',
  params: QueueParams,
  body: ExtendBody,
  response: { 200: answer('how many leases were extended, and the lost leases', ExtendReply) },
  fails: [BAD_LEASES, allLostAs(ExtendLost)],
})

/** Workers lease messages, and acknowledge, release, reject or extend them. */
export const queueRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, options) => {
  const { leases, now } = options
  const allWaiting = new Set<AbortController>()
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
    for (const each of allWaiting) each.abort()
  })

  addOptionalJsonParser(app, options.bodyLimit, parseFields)

  app.post(
    '/queues/:queue/claim',
    { schema: CLAIM, preValidation: withoutBodyEmpty },
    async (request, reply) => {
      const { limit = 1, lockMs = options.lockMs, waitMs = 0 } = request.body
      const client = watchPresence(request, reply)
      const { waiting } = client
      if (closing) waiting.abort()
      allWaiting.add(waiting)
      if (waitMs > 0) request.inFlight?.remove()
      const claim = async (waitMs: number, signal: AbortSignal) =>
        signal.aborted ? [] : leases.claim(request.params.queue, { limit, lockMs, waitMs }, signal)
      try {
        let claimed = await claim(waitMs, waiting.signal)
        if (claimed.length === 0 && client.mayBeGone() && !closing) claimed = await claim(0, client.gone)
        if (client.gone.aborted) {
          leases.giveBack(claimed)
          claimed = []
        }
        // Text, as the payloads in it are, and so past the response schema, which describes it.
        const answer = `{"messages":[${claimed.map(toText).join(',')}]}`
        if (claimed.length === 0 || !client.mayBeGone()) {
          return (reply as FastifyReply).type(JSON_UTF8).send(answer)
        }
        if (!(await sendTentatively(reply, answer))) leases.giveBack(claimed)
        return reply
      } finally {
        allWaiting.delete(waiting)
        client.end()
      }
    },
  )

  app.post('/queues/:queue/acknowledge', { schema: ACKNOWLEDGE }, async (request, reply) => {
    const refs = distinct(request.body.messages)
    const lost = await leases.acknowledge(refs, queueOf(request))
    if (lost.length === refs.length) return allLost(request, reply, { acknowledged: 0, lost })
    return { acknowledged: refs.length - lost.length, lost }
  })

  app.post('/queues/:queue/release', { schema: RELEASE }, async (request, reply) => {
    const { messages, delay, failed = true } = request.body
    const refs = distinct(messages)
    const delayMs = delay === undefined ? null : delayOf(delay, now())
    const lost = failed
      ? await leases.release(refs, delayMs, queueOf(request))
      : await leases.defer(refs, delayMs ?? 0, queueOf(request))
    if (lost.length === refs.length) return allLost(request, reply, { released: 0, lost })
    return { released: refs.length - lost.length, lost }
  })

  app.post('/queues/:queue/reject', { schema: REJECT }, async (request, reply) => {
    const { messages, reason = 'rejected' } = request.body
    const refs = distinct(messages)
    const lost = await leases.reject(refs, reason, queueOf(request))
    if (lost.length === refs.length) return allLost(request, reply, { rejected: 0, lost })
    return { rejected: refs.length - lost.length, lost }
  })

  app.post('/queues/:queue/extend', { schema: EXTEND }, async (request, reply) => {
    const { messages, lockMs = options.lockMs } = request.body
    const refs = distinct(messages)
    const lost = await leases.extend(refs, lockMs, queueOf(request))
    if (lost.length === refs.length) return allLost(request, reply, { extended: 0, lost })
    return { extended: refs.length - lost.length, lost }
  })
}

const queueOf = ({
  params,
  onlyQueue,
}: {
  params: { queue: string }
  onlyQueue: string | undefined
}): AtQueue => ({
  queue: params.queue,
  isOnly: onlyQueue !== undefined,
})

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
  sendError(request, reply, { ...ALL_LOST, members })
