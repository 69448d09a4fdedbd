import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { Pause } from '../../../pauses/pause.ts'
import type { Pace } from '../../../pauses/pauses.ts'
import { type PauseTarget, readTarget } from '../../../pauses/target.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { answer, route } from '../../openapi/route.ts'
import { parseAt, parseDelay } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import {
  PauseBody,
  PauseReply,
  PausesReply,
  ResumeBody,
  ResumeReply,
  TargetParams,
  TargetQuery,
} from './schemas.ts'

const invalid = (detail: string) => ({
  status: 400,
  description: 'malformed JSON, or an invalid field',
  detail,
})
const BAD_PAUSE = invalid('target: must name a queue behind queue:')
const BAD_RESUME = invalid('perSecond: cannot be combined with spread')

const PAUSE = route({
  operationId: 'pause',
  tag: 'pauses',
  summary: 'Pause a destination, a queue, a tag, or everything',
  description:
    'Messages are accepted as before, and what is being delivered ends. After the answer no server starts a delivery ' +
    'of what is paused. The same target again replaces note and until. A message is held while any of its pauses is ' +
    'in force.',
  body: PauseBody,
  response: {
    201: answer('it is paused', PauseReply),
    200: answer('it was paused already; note and until are replaced', PauseReply),
  },
  fails: [BAD_PAUSE, 'PAUSE_ENDED', 'TOO_MANY_PAUSES'],
})

const LIST = route({
  operationId: 'listPauses',
  tag: 'pauses',
  summary: 'List pauses',
  description: 'Everything that is paused or being resumed, with the number of due messages that it holds.',
  response: { 200: answer('all that is paused', PausesReply) },
})

const resuming = {
  tag: 'pauses',
  description:
    'What waited falls due at once, or evenly over `spread`, or `perSecond`. With `skipOlderThan`, messages whose ' +
    'own time is longer ago become dead letters with reason `skipped`. If a server stops, the others continue.',
  body: ResumeBody,
  bodyOptional: true,
  response: { 200: answer('it is resumed, or is being resumed', ResumeReply) },
  fails: [BAD_RESUME, 'PAUSE_NOT_FOUND'],
} as const

const RESUME = route({
  operationId: 'resume',
  summary: 'Resume what is paused',
  params: TargetParams,
  ...resuming,
})

const RESUME_BY_QUERY = route({
  operationId: 'resumeByQuery',
  summary: 'Resume what is paused, its target in the query',
  querystring: TargetQuery,
  ...resuming,
})

type Deps = Pick<ApiDeps, 'pauses' | 'actLog' | 'servers' | 'now'>

/** Pauses and resumes. */
export const pauseRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { pauses, actLog, servers, now }) => {
  const ignoredBy = async () => {
    const older = (await servers()).filter((server) => server.pauses !== true)
    return older.length === 0 ? {} : { ignoredBy: older.map(({ id }) => id) }
  }

  app.post('/pauses', { schema: PAUSE }, async (request, reply) => {
    const { note = null } = request.body
    const target = targetOf(request.body.target)
    const until = request.body.until === undefined ? null : untilOf(request.body.until, now())
    const key = request.apiKey ?? null
    const { pause, isNew } = await pauses.pause(target, { note, until, by: key })
    const act = { key, act: 'pause', target: pause.target, count: 0 }
    actLog.record(note === null ? act : { ...act, note })
    reply.code(isNew ? 201 : 200)
    return { ...toView(pause), ...(await ignoredBy()) }
  })

  app.get('/pauses', { schema: LIST }, async () => ({
    pauses: (await pauses.read()).map(({ pause, waiting }) => ({ ...toView(pause), waiting })),
    ...(await ignoredBy()),
  }))

  const preValidation = async (request: FastifyRequest) => {
    if (request.body === undefined) request.body = {}
  }
  async function resume(text: string, body: Static<typeof ResumeBody>, key: string | undefined) {
    const target = targetOf(text)
    const { waiting, lastDueAt } = await pauses.resume(target, paceOf(body, now()), key ?? null)
    actLog.record({ key: key ?? null, act: 'resume', target: target.target, count: waiting })
    return { target: target.target, waiting, until: lastDueAt === null ? null : toIso(lastDueAt) }
  }
  app.delete('/pauses', { schema: RESUME_BY_QUERY, preValidation }, ({ query, body, apiKey }) =>
    resume(query.target, body, apiKey),
  )
  app.delete('/pauses/:target', { schema: RESUME, preValidation }, ({ params, body, apiKey }) =>
    resume(params.target, body, apiKey),
  )
}

const refused = (field: string, message: string) => new InvalidRequestError([{ path: `/${field}`, message }])

function targetOf(text: string): PauseTarget {
  const target = readTarget(text)
  if (typeof target === 'string') throw refused('target', target)
  return target
}

function untilOf(value: string | number, now: number): number {
  const ms = parseAt(value)
  if (typeof ms === 'string') throw refused('until', ms)
  if (ms <= now) throw refused('until', 'must be in the future')
  return ms
}

function paceOf({ spread, perSecond, skipOlderThan }: Static<typeof ResumeBody>, now: number): Pace {
  if (spread !== undefined && perSecond !== undefined)
    throw refused('perSecond', 'cannot be combined with spread')
  const read = (field: string, value: string | number) => {
    const ms = parseDelay(value, now)
    if (typeof ms === 'string') throw refused(field, ms)
    return ms
  }
  return {
    ...(spread === undefined ? {} : { spreadMs: read('spread', spread) }),
    ...(perSecond === undefined ? {} : { perSecond }),
    ...(skipOlderThan === undefined ? {} : { skipOlderThanMs: read('skipOlderThan', skipOlderThan) }),
  }
}

function toView({ target, note, by, at, until, resume }: Pause) {
  return {
    ...{ target, note, by, at: toIso(at), until: until === null ? null : toIso(until) },
    resuming: resume === null ? null : { at: toIso(resume.at), until: toIso(resume.at + resume.overMs) },
  }
}
