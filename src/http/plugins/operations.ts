import type { TObject } from '@sinclair/typebox'
import { toPlainBody, toProblem } from '../errors/error-reply.ts'
import { Failure } from '../original/schemas.ts'
import { KnownReply } from '../v1/messages/schemas.ts'
import { Problem } from '../v1/problem.schemas.ts'
import { AcknowledgeLost, ExtendLost, ReleaseLost } from '../v1/queues/schemas.ts'

export type Json = { [key: string]: unknown }

/** What the schemas of a route cannot say. */
export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly tags: readonly string[]
  readonly security?: readonly Json[]
  /** whether a request may come without a body */
  readonly bodyOptional?: true
  /** answers when all went well; their content is the route's schema unless given */
  readonly ok: Readonly<Record<number, { description: string; headers?: Json; content?: Json }>>
  readonly failures: Readonly<Record<number, Json>>
}

const header = (description: string, schema: Json, example: string): Json => ({
  description,
  required: true,
  schema,
  example,
})
export const HEADERS = {
  ETag: header("the message's version, for If-Match", { type: 'string', pattern: '^"[1-9][0-9]*"$' }, '"1"'),
  Location: header(
    'where the message can be looked at, changed and cancelled',
    { type: 'string', format: 'uri-reference' },
    '/v1/messages/~0VknCBoMfN7U',
  ),
  'Retry-After': header('when to try again, s', { type: 'string', pattern: '^[0-9]+$' }, '1'),
  'Accept-Encoding': {
    ...header('content codings of a body that are taken', { type: 'string' }, 'gzip'),
    required: false,
  },
  'WWW-Authenticate': header('how to show a key', { type: 'string' }, 'Bearer'),
}
/** On what may be a message of which no version is known any more. */
const ETAG_IF_KNOWN: Json = {
  ...HEADERS.ETag,
  description: `${HEADERS.ETag.description}; absent where only id and status are still known`,
  required: false,
}
const headers = (...names: (keyof typeof HEADERS)[]): Json =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]))

/** The two forms that a failure has, see failure.ts. */
const FORMS = {
  Problem: (status: number, detail: string): Json => ({
    'application/problem+json': { schema: Problem, example: toProblem({ status, detail }) },
  }),
  Plain: (status: number, detail: string): Json => ({
    'application/json': { schema: Failure, example: toPlainBody({ status, detail }) },
  }),
}
type Form = keyof typeof FORMS

/** Failures that any route may have, by status: when it is answered, an example, and its headers. */
const COMMON: readonly [status: number, description: string, detail: string, headers: Json][] = [
  [
    401,
    'no key, or one that is not known here',
    'authorization: must be Bearer and a key',
    headers('WWW-Authenticate'),
  ],
  [
    403,
    'the key has not the scope that this needs, the Host is not served, or a page of another site asks',
    'authorization: the key shop has no scope write, which POST needs',
    {},
  ],
  [
    408,
    'none of the body came for a minute, or less than 1 KiB a second on average',
    'the request took too long to arrive',
    {},
  ],
  [413, 'the body is too large, decoded or not', 'body: is too large', {}],
  [
    415,
    'the body is of another type, in another charset than UTF-8, or in another content coding than gzip',
    'content-type: must be application/json',
    headers('Accept-Encoding'),
  ],
  [
    429,
    'the key, or else the address, has had its requests of this minute',
    'at most 600 requests a minute; try again in 21 seconds',
    headers('Retry-After'),
  ],
  [500, 'something went wrong on our side', 'something went wrong on our side', {}],
  [
    501,
    'the body is in another transfer coding than chunked',
    'transfer-encoding: gzip, chunked is not supported; it must be chunked',
    {},
  ],
  [
    503,
    'Redis is away or out of memory, or the server has too much to do; what was asked may have been done',
    'Redis is not answering, so this may or may not have been done; try again',
    headers('Retry-After'),
  ],
]
export const COMMON_RESPONSES: Json = Object.fromEntries(
  (['Problem', 'Plain'] as const).flatMap((form) =>
    COMMON.map(([status, description, detail, headers]) => [
      `${form}${status}`,
      { description, headers, content: FORMS[form](status, detail) },
    ]),
  ),
)

/** @param own what a status of this route means, with an example of `detail`; a number means what it means everywhere */
function failures(
  form: Form,
  common: readonly number[],
  own: Readonly<Record<number, [string, string]>> = {},
) {
  const ofThisRoute = Object.entries(own).map(([status, [description, detail]]) => [
    status,
    { description, content: FORMS[form](Number(status), detail) },
  ])
  const everywhere = common.map((status) => [status, { $ref: `#/components/responses/${form}${status}` }])
  return Object.fromEntries([...ofThisRoute, ...everywhere]) as Record<number, Json>
}

const ANY = [401, 403, 429, 500, 503]
const WITH_BODY = [...ANY, 408, 413, 415, 501]
const OPEN: readonly Json[] = [{}]
const BAD_BODY: [string, string] = [
  'the body is not JSON, or a field is wrong',
  'at: looks like seconds: it must be epoch milliseconds (or ISO 8601)',
]
const BAD_QUERY: [string, string] = [
  'a parameter is wrong',
  'limit: must be messages a page: 1 to 1000 (100 unless given)',
]
const BAD_PATH: [string, string] = [
  'the id is not properly percent-encoded',
  "'/v1/messages/%zz' is not a valid url component",
]
const BAD_LEASES: [string, string] = [
  'the body is not JSON, or a field is wrong',
  'messages: is missing; it must be an array of 1 to 1000 objects with id and token',
]
const BAD_SELECTION: [string, string] = [
  'the body is not JSON, or a field is wrong',
  'body: must have exactly one of ids, tag and all',
]
const UNKNOWN: [string, string] = ['no message has this id', 'no message has this id']
const STALE: [string, string] = [
  'the message is not at a version that If-Match names',
  'the message is not at a version that If-Match names',
]

const METRICS = `# HELP carillon_delivered_total Messages delivered
# TYPE carillon_delivered_total counter
carillon_delivered_total{destination="console"} 4711
carillon_delivered_total{destination="webhook"} 42
`

const lost = (schema: TObject): Json => ({
  description: 'all of them were lost, and nothing was done',
  content: { 'application/problem+json': { schema, example: schema.examples?.[0] } },
})

/** Every route, by method and path as the document writes it. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /v1/messages': {
    operationId: 'scheduleMessage',
    summary: 'Schedule a message',
    description:
      'Keeps a message until its time. An `id` of your own makes it safe to send this again: the same content is answered with the message that is there, and other content with 409.',
    tags: ['messages'],
    ok: {
      200: {
        description: 'the id is known with the same content; nothing was stored',
        headers: { ...headers('Location'), ETag: ETAG_IF_KNOWN },
        content: {
          'application/json': {
            schema: KnownReply,
            example: { ...KnownReply.examples[0], id: 'invoice-4711-reminder', duplicate: true },
          },
        },
      },
      201: { description: 'the message is stored', headers: headers('Location', 'ETag') },
    },
    failures: failures('Problem', WITH_BODY, {
      400: BAD_BODY,
      409: ['the id is known with other content', 'id: is known already, with other content'],
    }),
  },
  'POST /v1/messages/batch': {
    operationId: 'scheduleMessages',
    summary: 'Schedule many messages',
    description:
      'As JSON, up to 10,000 messages at once; as NDJSON, a stream of any length, one message a line, which is answered line by line while it is read. Results come in the order of the messages, and one bad message does not stop the others.',
    tags: ['messages'],
    ok: { 200: { description: 'a result for each message, in order' } },
    failures: failures('Problem', WITH_BODY, {
      400: [
        'the body as a whole is wrong',
        'messages: is missing; it must be an array of up to 10000 messages',
      ],
    }),
  },
  'GET /v1/messages/{id}': {
    operationId: 'getMessage',
    summary: 'Look at a message',
    description:
      'A finished message can be seen for as long as the history keeps it. Where somebody else has changed what Redis holds of a message, and it cannot be read, its raw text is shown. One that is stored, but neither scheduled, claimed nor dead, is `stranded`: no list has it and it will not be delivered; `npm run audit` finds all of them.',
    tags: ['messages'],
    ok: { 200: { description: 'the message', headers: { ETag: ETAG_IF_KNOWN } } },
    failures: failures('Problem', ANY, { 400: BAD_PATH, 404: UNKNOWN }),
  },
  'PATCH /v1/messages/{id}': {
    operationId: 'changeMessage',
    summary: 'Change a message',
    description:
      'Changes the fields that are given, in one step, as long as delivery has not begun. A dead message can be changed too, and stays dead until it is redriven.',
    tags: ['messages'],
    ok: { 200: { description: 'the message as it is now', headers: headers('ETag') } },
    failures: failures('Problem', WITH_BODY, {
      400: BAD_BODY,
      404: UNKNOWN,
      409: ['the message is being delivered, or was, or is damaged', 'the message is being delivered'],
      412: STALE,
    }),
  },
  'DELETE /v1/messages/{id}': {
    operationId: 'cancelMessage',
    summary: 'Cancel a message',
    description:
      'Once this was answered with 204 the message, scheduled or dead, is never delivered. Its id is free again at once. What cannot be read is deleted, too, also in the history.',
    tags: ['messages'],
    ok: { 204: { description: 'it is cancelled' } },
    failures: failures('Problem', ANY, {
      400: BAD_PATH,
      404: UNKNOWN,
      409: ['the message is being delivered, or was', 'the message was delivered or dropped already'],
      412: STALE,
    }),
  },
  'GET /v1/messages': {
    operationId: 'listMessages',
    summary: 'List messages',
    description:
      'Page by page, in the order of their time. Whatever was there throughout is neither missed nor repeated, however many messages come and go meanwhile. A page ends early at 16 MiB.',
    tags: ['messages'],
    ok: { 200: { description: 'a page' } },
    failures: failures('Problem', ANY, { 400: BAD_QUERY }),
  },
  'POST /v1/messages/cancel': {
    operationId: 'cancelMessages',
    summary: 'Cancel many messages',
    description: 'Cancels all scheduled messages with a tag, or with these ids.',
    tags: ['messages'],
    ok: { 200: { description: 'how many' } },
    failures: failures('Problem', WITH_BODY, { 400: BAD_BODY }),
  },
  'POST /v1/messages/shift': {
    operationId: 'shiftMessages',
    summary: 'Move many messages in time',
    description:
      'Moves each message that is scheduled now exactly once, and its notAfter with it. It is not one step.',
    tags: ['messages'],
    ok: { 200: { description: 'how many' } },
    failures: failures('Problem', WITH_BODY, { 400: BAD_BODY }),
  },
  'GET /v1/forecast': {
    operationId: 'getForecast',
    summary: 'See how many messages fall due when',
    description: 'Counts scheduled messages in buckets of time, at most 1,000 of them.',
    tags: ['overview'],
    ok: { 200: { description: 'the load ahead' } },
    failures: failures('Problem', ANY, { 400: BAD_QUERY }),
  },
  'POST /v1/queues/{queue}/claim': {
    operationId: 'claimMessages',
    summary: 'Claim messages from a queue',
    description:
      'Leases messages that are due to whoever asks: until the lease ends nobody else gets them. While there is none it waits as long as `waitMs` says. A message whose lease ends without a word counts as lost with its worker and is leased again, a few times.',
    tags: ['queues'],
    bodyOptional: true,
    ok: { 200: { description: 'what was claimed, and nothing if nothing came' } },
    failures: failures('Problem', WITH_BODY, {
      400: [
        'the body is not JSON, or a field is wrong',
        'limit: must be messages at most: 1 to 1000 (1 unless given)',
      ],
    }),
  },
  'POST /v1/queues/{queue}/acknowledge': {
    operationId: 'acknowledgeMessages',
    summary: 'Acknowledge messages that were claimed',
    description: 'They are delivered, and are never leased again.',
    tags: ['queues'],
    ok: { 200: { description: 'how many were acknowledged, and which leases were lost' } },
    failures: { ...failures('Problem', WITH_BODY, { 400: BAD_LEASES }), 409: lost(AcknowledgeLost) },
  },
  'POST /v1/queues/{queue}/release': {
    operationId: 'releaseMessages',
    summary: 'Hand messages back that were claimed',
    description:
      'Their deliveries failed: each is leased again after `delay`, or else after the wait of its retry policy, or is dead if it has had its attempts.',
    tags: ['queues'],
    ok: { 200: { description: 'how many were released, and which leases were lost' } },
    failures: { ...failures('Problem', WITH_BODY, { 400: BAD_LEASES }), 409: lost(ReleaseLost) },
  },
  'POST /v1/queues/{queue}/extend': {
    operationId: 'extendMessages',
    summary: 'Go on leasing messages that were claimed',
    description: 'The leases end `lockMs` from now, whatever was left of them.',
    tags: ['queues'],
    ok: { 200: { description: 'how many are leased for longer, and which leases were lost' } },
    failures: { ...failures('Problem', WITH_BODY, { 400: BAD_LEASES }), 409: lost(ExtendLost) },
  },
  'POST /v1/dead/redrive': {
    operationId: 'redriveMessages',
    summary: 'Schedule dead messages again',
    description:
      'They begin anew, with all their attempts, now or so many in each second. To repair a message first, PATCH it. Those that cannot be read stay dead.',
    tags: ['dead letters'],
    ok: { 200: { description: 'how many, how many cannot be read, and which ids no dead message has' } },
    failures: failures('Problem', WITH_BODY, { 400: BAD_SELECTION }),
  },
  'DELETE /v1/dead': {
    operationId: 'deleteDeadMessages',
    summary: 'Delete dead messages',
    description: 'They are gone, and their ids are free again.',
    tags: ['dead letters'],
    ok: { 200: { description: 'how many' } },
    failures: failures('Problem', WITH_BODY, { 400: BAD_SELECTION }),
  },
  'GET /v1/stats': {
    operationId: 'getStats',
    summary: 'Count messages, servers and memory',
    description: 'What there is, who serves it, and how full Redis is.',
    tags: ['overview'],
    ok: { 200: { description: 'what there is' } },
    failures: failures('Problem', ANY),
  },
  'POST /echoAtTime': {
    operationId: 'echoAtTime',
    summary: 'Schedule a line for the console',
    description:
      'As the original service had it: at its time the message is one line on the console of the server that delivers it.',
    tags: ['service'],
    ok: { 200: { description: 'the message is stored' } },
    failures: failures('Plain', WITH_BODY, {
      400: ['the body is not JSON, a field is wrong, or the time has come', 'time: must be in the future'],
    }),
  },
  'GET /health': {
    operationId: 'getHealth',
    summary: 'Ask whether the server is well',
    description: 'Needs no key and is never limited.',
    tags: ['service'],
    security: OPEN,
    ok: { 200: { description: 'the server is well, and Redis answered it' } },
    failures: failures('Plain', [], {
      503: [
        'Redis did not answer within a second',
        'server is not running due to: Redis did not answer within 1000 ms',
      ],
    }),
  },
  'GET /ready': {
    operationId: 'getReady',
    summary: 'Ask whether the server should get work',
    description:
      'No when Redis does not answer within a second, when more than 90 % of its maxmemory is used (where it has one), or when the oldest overdue message is later than READY_MAX_LATE_MS; the answer names every reason. Messages that wait for a worker to pull them, or for a free slot of their host, do not count. Needs no key and is never limited.',
    tags: ['service'],
    security: OPEN,
    ok: { 200: { description: 'the server is ready for work' } },
    failures: failures('Plain', [], {
      503: [
        'the server should get no work for now',
        'server is not ready: the oldest overdue message is 61000 ms late, more than 60000 ms',
      ],
    }),
  },
  'GET /live': {
    operationId: 'getLive',
    summary: 'Ask whether the process runs',
    description: 'Says nothing of Redis. Needs no key and is never limited.',
    tags: ['service'],
    security: OPEN,
    ok: { 200: { description: 'it does' } },
    failures: {},
  },
  'GET /metrics': {
    operationId: 'getMetrics',
    summary: 'Measure it with Prometheus',
    description:
      'How late deliveries start, what was delivered, failed, retried, given up and recovered, how long scheduling takes, what waits, and how the process is. What only Redis knows (`carillon_messages`, `carillon_oldest_overdue_seconds`) is left out while Redis does not answer. Never limited.',
    tags: ['service'],
    ok: {
      200: {
        description: "measures in Prometheus's text form, version 0.0.4",
        content: { 'text/plain': { schema: { type: 'string', description: 'measures' }, example: METRICS } },
      },
    },
    failures: failures('Plain', [401, 403]),
  },
  'GET /': {
    operationId: 'getHome',
    summary: 'Read how to use it',
    description: 'A page for a browser. Needs no key.',
    tags: ['service'],
    security: OPEN,
    ok: {
      200: {
        description: 'the page',
        content: {
          'text/html': { schema: { type: 'string', description: 'HTML' }, example: '<!doctype html>' },
        },
      },
    },
    failures: failures('Plain', [403, 429, 503]),
  },
}
