import { setMaxListeners } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Scheduler } from '../../schedule/scheduler.ts'
import { sendFailure } from '../error-mapper.plugin.ts'
import { BatchBody, BatchLines, BatchReply, LineReplies } from './batch.schemas.ts'
import { createIntake, toItemReply, unconfirmed } from './batch.ts'
import { answerLines } from './ndjson.ts'
import { Problem } from './problem.schemas.ts'
import type { CheckDestination } from './translate.ts'

export interface BatchRoutesOptions {
  readonly scheduler: Scheduler
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
  readonly checkDestination: CheckDestination
  /** bytes one message may have */
  readonly bodyLimit: number
  /** bytes a JSON batch may have */
  readonly batchBodyLimit: number
}

const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'
/** For so long a client that goes on sending after the end of its results is let, so that it can read them. */
const LINGER_MS = 5_000

/** Many messages in one request: as one JSON body, or as a stream of lines that is answered while it is read. */
export const batchRoutes: FastifyPluginAsyncTypebox<BatchRoutesOptions> = async (app, options) => {
  const { scheduler, now, checkDestination, bodyLimit, batchBodyLimit } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  app.addHook('preClose', async () => closing.abort())

  // The raw stream: no limit holds for all of it, only for each line.
  app.addContentTypeParser(LINES_TYPE, (_request, stream, done) => done(null, stream))
  app.addContentTypeParser('*', (_request, _stream, done) => done(wrongType()))

  app.post(
    '/messages/batch',
    {
      bodyLimit: batchBodyLimit,
      schema: {
        summary: 'Schedule many messages',
        tags: ['messages'],
        body: { content: { [JSON_TYPE]: { schema: BatchBody }, [LINES_TYPE]: { schema: BatchLines } } },
        response: {
          200: {
            description: 'one result for each message, in order',
            content: { [JSON_TYPE]: { schema: BatchReply }, [LINES_TYPE]: { schema: LineReplies } },
          },
          '4xx': Problem,
          '5xx': Problem,
        },
      },
    },
    async (request, reply) => {
      // Validated, or the stream; undefined where a request has neither type nor body.
      const body = request.body as BatchBody | Readable | undefined
      if (body === undefined) throw wrongType()
      const intake = createIntake({ scheduler, now, checkDestination, log: request.log })
      if (body instanceof Readable) {
        const hangUp = leaveOpen(reply.raw, request.raw)
        const results = answerLines(body, { intake, bodyLimit, closing: closing.signal, onEarlyEnd: hangUp })
        return reply.type(LINES_TYPE).send(Readable.from(results))
      }
      // No message is longer than all of them, which is told beforehand unless the body comes in chunks.
      const limit = Number(request.headers['content-length']) <= bodyLimit ? undefined : bodyLimit
      const outcomes = await Promise.all(body.messages.map((item) => intake.take(item, limit)))
      const failure = outcomes.map(unconfirmed).find((each) => each !== undefined)
      const anyStored = outcomes.some((outcome) => 'status' in outcome)
      if (failure !== undefined && !anyStored) return sendFailure(request, reply, failure)
      return { results: outcomes.map(toItemReply) }
    },
  )
}

const wrongType = () =>
  Object.assign(new Error(`content-type: must be ${JSON_TYPE} or ${LINES_TYPE}`), { statusCode: 415 })

/**
 * Has the connection closed in an orderly way after the response: Node would destroy it at once where the client asked
 * for `connection: close`, and while there is unread data that resets it, with results on their way.
 *
 * @returns to be called when the response ends before the request: the connection is closed then in any case
 */
function leaveOpen(response: ServerResponse, { socket }: IncomingMessage): () => void {
  let hangsUp = !response.shouldKeepAlive
  response.shouldKeepAlive = true
  response.once('finish', () => {
    if (!hangsUp) return
    socket.end()
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(timer))
  })
  return () => {
    hangsUp = true
  }
}
