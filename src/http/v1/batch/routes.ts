import { setMaxListeners } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { checkCharset } from '../../body/charset.ts'
import { decoded, toDecodingError } from '../../body/content-encoding.ts'
import { addJsonParser } from '../../body/json-parser.ts'
import { parseBatch } from '../../body/request-json.ts'
import { type BodySource, onTooSlow } from '../../connections/client-timeouts.ts'
import { HttpError } from '../../errors/http-error.ts'
import { answer, route } from '../../openapi/route.ts'
import { sendError } from '../../plugins/errors.ts'
import type { ApiDeps } from '../deps.ts'
import { createIntake, toItemReply, unconfirmed } from './batch.ts'
import { answerLines } from './ndjson.ts'
import { BatchBody, BatchLines, BatchReply, LineReplies } from './schemas.ts'

type Deps = Pick<ApiDeps, 'scheduler' | 'now' | 'checkDestination' | 'bodyLimit' | 'batchBodyLimit'>

const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'
const BAD_BATCH = {
  status: 400,
  description: 'the body as a whole is invalid',
  detail: 'messages: is missing; it must be an array of up to 10000 messages',
}
const STOPPING = {
  status: 503,
  detail: 'the server is shutting down; send this line and all later lines again',
}

const SCHEDULE_MANY = route({
  operationId: 'scheduleMessages',
  tag: 'messages',
  summary: 'Schedule many messages',
  description:
    'As JSON, up to 10,000 messages in one request. As NDJSON, a stream of any length, one message per line: ' +
    'each line is answered while the rest is read. Results have the order of the messages. An invalid message ' +
    'fails alone.',
  body: { content: { [JSON_TYPE]: { schema: BatchBody }, [LINES_TYPE]: { schema: BatchLines } } },
  response: {
    200: answer('one result for each message, in order', {
      content: { [JSON_TYPE]: { schema: BatchReply }, [LINES_TYPE]: { schema: LineReplies } },
    }),
  },
  fails: [BAD_BATCH],
})

/** Many messages in one request: as one JSON body, or as a stream of lines that is answered while it is read. */
export const batchRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, options) => {
  const { scheduler, now, checkDestination, bodyLimit, batchBodyLimit } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  app.addHook('preClose', async () => closing.abort(new HttpError(STOPPING)))

  // The raw stream: no limit holds for all of it, only for each line.
  app.addContentTypeParser(LINES_TYPE, ({ headers }, stream, done) => {
    try {
      checkCharset(headers)
      done(null, decoded(stream, headers))
    } catch (refusal) {
      done(refusal as Error)
    }
  })
  addJsonParser(app, batchBodyLimit, parseBatch)
  app.addContentTypeParser('*', (_request, _stream, done) => done(wrongType()))

  app.post('/messages/batch', { schema: SCHEDULE_MANY }, async (request, reply) => {
    // Validated, or the stream; undefined where a request has neither type nor body.
    const body = request.body as BatchBody | Readable | undefined
    if (body === undefined) throw wrongType()
    const intake = createIntake({ scheduler, now, checkDestination, log: request.log })
    if (body instanceof Readable) {
      const hangUp = leaveOpen(reply.raw, request.raw)
      const broken = new AbortController()
      const raw: BodySource = request.raw
      raw[onTooSlow] = (refusal) => broken.abort(refusal)
      body.once('error', (error) => {
        const decodingError = toDecodingError(error)
        if (decodingError instanceof HttpError) broken.abort(decodingError)
      })
      const ending = AbortSignal.any([closing.signal, broken.signal])
      const hold = (bytes: number) => request.inFlight?.setHeldBytes(bytes) !== false
      const results = answerLines(body, { intake, bodyLimit, ending, onEarlyEnd: hangUp, hold })
      return reply.type(LINES_TYPE).send(Readable.from(results))
    }
    // A message is at most as long as the body, whose length is declared unless it is chunked.
    const limit = Number(request.headers['content-length']) <= bodyLimit ? undefined : bodyLimit
    const itemResults = await Promise.all(body.messages.map((item) => intake.take(item, limit)))
    const errorReply = itemResults.map(unconfirmed).find((each) => each !== undefined)
    const anyStored = itemResults.some((result) => 'status' in result)
    const results = itemResults.map(toItemReply)
    if (errorReply === undefined || anyStored) return { results }
    return sendError(request, reply, { ...errorReply, members: { results } })
  })
}

const wrongType = () =>
  Object.assign(new Error(`content-type: must be ${JSON_TYPE} or ${LINES_TYPE}`), { statusCode: 415 })

/**
 * Closes the connection in an orderly way after the response. If the response says `close`, Node would destroy the
 * connection at once. With unread data that is a reset, which loses results in flight. A client that does not close its
 * side is not waited for long: see connections.ts.
 *
 * @returns call it when the response ends before the request: the connection is closed then in any case
 */
function leaveOpen(response: ServerResponse, { socket }: IncomingMessage): () => void {
  socket.destroySoon = () => socket.end()
  return () => {
    response.once('finish', () => socket.end())
  }
}
