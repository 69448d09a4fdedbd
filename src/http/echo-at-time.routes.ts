import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Scheduler } from '../schedule/scheduler.ts'
import { EchoAtTimeBody, Failure, Scheduled } from './schemas.ts'
import { parseTime } from './time.ts'
import { InvalidRequestError } from './validation.ts'

/** The original service's route: a message for the console at a time. */
export const echoAtTimeRoutes: FastifyPluginAsyncTypebox<{ scheduler: Scheduler }> = async (
  app,
  { scheduler },
) => {
  app.post(
    '/echoAtTime',
    { schema: { body: EchoAtTimeBody, response: { 200: Scheduled, '4xx': Failure, '5xx': Failure } } },
    async (request) => {
      const { time, message } = request.body
      const dueAt = parseTime(time)
      if (dueAt === undefined) {
        const message = `must be ${EchoAtTimeBody.properties.time.description}`
        throw new InvalidRequestError([{ path: '/time', message }])
      }
      const { id } = await scheduler.schedule({ due: { at: dueAt }, payload: message, future: true })
      return { status: 'success' as const, message: 'message scheduled' as const, id }
    },
  )
}
