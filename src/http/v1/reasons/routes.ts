import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { LateLane } from '../../../reasons/late.ts'
import type { Details } from '../../../reasons/reason.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { BAD_PATH } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { IdParams } from '../messages/request.schemas.ts'
import { LateReply, TimelineReply, WhyReply } from './schemas.ts'

const WHY = route({
  operationId: 'explainMessage',
  tag: 'messages',
  summary: 'Tell why a message is where it is',
  description:
    'One reason of a closed list: what a message waits for, or what became of it. Of several that hold, the first ' +
    'in this order: paused, order-blocked, no-worker, no-puller, rate-limited, flow-full, destination-full, ' +
    'servers-full, behind. An id that no message has is answered, too.',
  params: IdParams,
  response: { 200: answer('the reason', WhyReply) },
  fails: [BAD_PATH],
})

const TIMELINE = route({
  operationId: 'getTimeline',
  tag: 'messages',
  summary: 'Get what happened to a message',
  description:
    'When it was created, changed and due, each attempt, and how it ended, as long as the history keeps it.',
  params: IdParams,
  response: { 200: answer('what happened to it', TimelineReply) },
  fails: [BAD_PATH, 'MESSAGE_NOT_FOUND'],
})

const LATE = route({
  operationId: 'listLate',
  tag: 'overview',
  summary: 'List what is overdue',
  description: 'By destination: how many messages, since when, and why. What is paused is listed apart.',
  response: { 200: answer('what is overdue', LateReply) },
})

/** Why messages wait, and what happened to them. */
export const reasonRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'reasons'>> = async (app, { reasons }) => {
  app.get('/messages/:id/why', { schema: WHY }, async (request) => {
    const { since, until, details, ...told } = await reasons.why(request.params.id)
    return { ...told, since: isoOrNull(since), until: isoOrNull(until), details: withIsoTimes(details) }
  })

  app.get('/messages/:id/timeline', { schema: TIMELINE }, async (request) => {
    const { id } = request.params
    const entries = await reasons.timeline(id)
    return {
      id,
      entries: entries.map(({ at, body, ...entry }) => ({
        ...{ at: toIso(at), ...entry },
        ...(body === undefined || !request.seesContent ? {} : { body }),
      })),
    }
  })

  app.get('/late', { schema: LATE }, async () => {
    const { late, total, paused } = await reasons.late()
    return { late: late.map(toLateLane), total, paused: paused.map(toLateLane) }
  })
}

const isoOrNull = (ms: number | null): string | null => (ms === null ? null : toIso(ms))

const toLateLane = ({ lane, oldest, since, details, ...rest }: LateLane) => ({
  lane: lane === '' ? 'console' : lane,
  ...rest,
  oldest: toIso(oldest),
  since: toIso(since ?? oldest),
  details: withIsoTimes(details),
})

const IS_TIME = /^(?:at|until)$|(?:At|Since|Until)$/

/** Details of a reason as they are answered: what is a time by its name, in ISO 8601. */
const withIsoTimes = (details: Details): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(details).map(([name, value]) => {
      if (typeof value === 'number' && IS_TIME.test(name)) return [name, toIso(value)]
      const isNested = typeof value === 'object' && value !== null && !Array.isArray(value)
      return [name, isNested ? withIsoTimes(value as Details) : value]
    }),
  )
