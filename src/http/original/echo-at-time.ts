import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Scheduler } from '../../messages/scheduler.ts'
import { addJsonParser } from '../body/json-parser.ts'
import { parseFields } from '../body/request-json.ts'
import { answer, route } from '../openapi/route.ts'
import { parseTime } from '../validation/time.ts'
import { InvalidRequestError } from '../validation/validation.ts'
import { EchoAtTimeBody, Scheduled } from './schemas.ts'

const NO_TIME = `must be ${EchoAtTimeBody.properties.time.description}`
/** Other fields are ignored. */
const OWN_FIELDS = new Map([
  ['time', NO_TIME],
  ['message', EchoAtTimeBody.properties.message.description ?? ''],
])

const BAD_REQUEST = {
  status: 400,
  description: 'malformed JSON, an invalid field, or a time that is not in the future',
  detail: 'time: must be in the future',
}

export interface EchoAtTimeOptions {
  readonly scheduler: Scheduler
  /** bytes a body may have */
  readonly bodyLimit: number
}

const ECHO_AT_TIME = route({
  operationId: 'echoAtTime',
  tag: 'service',
  summary: 'Schedule a console line',
  description:
    'The route of the original service: at its due time the message is one line on the console of the server ' +
    'that delivers it.',
  body: EchoAtTimeBody,
  response: { 200: answer('the message is stored', Scheduled) },
  fails: [BAD_REQUEST],
})

/** The original service's route: a message for the console at a time. */
export const echoAtTimeRoutes: FastifyPluginAsyncTypebox<EchoAtTimeOptions> = async (
  app,
  { scheduler, bodyLimit },
) => {
  addJsonParser(app, bodyLimit, (text) => parseFields(text, OWN_FIELDS))

  app.post('/echoAtTime', { schema: ECHO_AT_TIME }, async (request) => {
    const { time, message } = request.body
    const dueAt = parseTime(time)
    if (dueAt === undefined) {
      throw new InvalidRequestError([{ path: '/time', message: NO_TIME }])
    }
    const { id } = await scheduler.schedule({
      due: { at: dueAt },
      payload: JSON.stringify(message),
      future: true,
    })
    return { status: 'success' as const, message: 'message scheduled' as const, id }
  })
}
