import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Scheduler } from '../schedule/scheduler.ts'
import { failure } from './error-mapper.plugin.ts'
import { EchoAtTimeBody, Failure, Scheduled } from './schemas.ts'
import { parseTime } from './time.ts'

/** The original service's route: a message for the console at a time. */
export const echoAtTimeRoutes: FastifyPluginAsyncTypebox<{ scheduler: Scheduler }> = async (
  app,
  { scheduler },
) => {
  app.post(
    '/echoAtTime',
    { schema: { body: EchoAtTimeBody, response: { 200: Scheduled, '4xx': Failure, '5xx': Failure } } },
    async (request, reply) => {
      const { time, message } = request.body
      const dueAt = parseTime(time)
      if (dueAt === undefined) {
        return reply.code(400).send(failure(`time: must be ${EchoAtTimeBody.properties.time.description}`))
      }
      const id = await scheduler.schedule({ payload: message, dueAt })
      return { status: 'success' as const, message: 'message scheduled' as const, id }
    },
  )
}
