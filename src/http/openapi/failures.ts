import type { TObject } from '@sinclair/typebox'
import { type ErrorCode, SchedulerError } from '../../domain/errors.ts'
import { toErrorReply, toPlainBody, toProblem } from '../errors/error-reply.ts'
import type { ErrorReply } from '../errors/http-error.ts'
import { ErrorBody as PlainFailure } from '../original/schemas.ts'
import { Problem } from '../v1/problem.schemas.ts'
import { headers } from './headers.ts'
import type { Json } from './json.ts'

/** A failure that a route may answer: a code that its domain method throws, or one of its own. */
export type Failing = ErrorCode | OwnFailure

interface OwnFailure {
  readonly status: number
  readonly description: string
  /** an example of what is wrong */
  readonly detail?: string
  /** its schema, if it has members that no other problem has; with an example */
  readonly schema?: TObject
}

const badRequest = (description: string, detail: string): OwnFailure => ({ status: 400, description, detail })
/** @param detail an example of an invalid field */
export const badBody = (detail: string) => badRequest('malformed JSON, or an invalid field', detail)
export const BAD_BODY = badBody('at: looks like seconds: it must be epoch milliseconds (or ISO 8601)')
export const BAD_QUERY = badRequest(
  'an invalid query parameter',
  'limit: must be 1 to 1000 messages per page (default 100)',
)
export const BAD_PATH = badRequest(
  'the id is not percent-encoded correctly',
  "'/v1/messages/%zz' is not a valid url component",
)

/** The two forms of a failure, see errors/error-reply.ts. */
const FORMS = {
  Problem: (failure: ErrorReply): Json => ({
    'application/problem+json': { schema: Problem, example: toProblem(failure) },
  }),
  Plain: (failure: ErrorReply): Json => ({
    'application/json': { schema: PlainFailure, example: toPlainBody(failure) },
  }),
}
export type Form = keyof typeof FORMS

/** Failures that any route may have, by status: when it is answered, an example, and its headers. */
const COMMON: readonly [status: number, description: string, detail: string, headers?: Json][] = [
  [
    401,
    'no API key, or an unknown one',
    'authorization: expected "Bearer <key>"',
    headers('WWW-Authenticate'),
  ],
  [
    403,
    'the key lacks the scope, the Host is not served, or a page of another site sent the request',
    'authorization: the key shop lacks the scope write',
  ],
  [
    408,
    'no byte of the body arrived for a minute, or less than 1 KiB per second on average',
    'the request took too long to arrive',
  ],
  [413, 'the body is too large, before or after decompression', 'body: is too large'],
  [
    415,
    'unsupported content type, charset (only UTF-8) or content coding (only gzip)',
    'content-type: must be application/json',
    headers('Accept-Encoding'),
  ],
  [
    429,
    'too many requests per minute with this key, or from this address',
    'at most 600 requests per minute; retry in 21 seconds',
    headers('Retry-After'),
  ],
  [500, 'internal error', 'something went wrong on our side'],
  [
    501,
    'unsupported transfer coding (only chunked)',
    'transfer-encoding: gzip, chunked is not supported; it must be chunked',
  ],
  [
    503,
    'Redis is unavailable or out of memory, or the server is overloaded; the request may or may not have been executed',
    'Redis is not answering, so this may or may not have been done; try again',
    headers('Retry-After'),
  ],
]

/** What the document keeps among its components, so that routes refer to it. */
export const COMMON_RESPONSES: Json = Object.fromEntries(
  (['Problem', 'Plain'] as const).flatMap((form) =>
    COMMON.map(([status, description, detail, headers = {}]) => [
      `${form}${status}`,
      { description, headers, content: FORMS[form]({ status, detail }) },
    ]),
  ),
)

/** The common statuses of a route without a body, and those that a body adds. */
export const WITHOUT_BODY = [401, 403, 429, 500, 503]
export const WITH_BODY = [...WITHOUT_BODY, 408, 413, 415, 501]

/** @returns the failures as the document has them, by status; those of one status become one response */
export function failureResponses(form: Form, own: readonly Failing[], common: readonly number[]): Json {
  const responses: Record<number, { description: string; content: unknown }> = {}
  for (const failing of own) {
    const { status, description, content } = responseOf(form, failing)
    const before = responses[status]
    responses[status] =
      before === undefined
        ? { description, content }
        : { ...before, description: `${before.description}; or ${description}` }
  }
  const shared = common.map((status) => [status, { $ref: `#/components/responses/${form}${status}` }])
  return { ...responses, ...Object.fromEntries(shared) }
}

function responseOf(form: Form, failing: Failing) {
  if (typeof failing === 'string') {
    const failure = toErrorReply(new SchedulerError(failing, ''))
    return { status: failure.status, description: failure.detail, content: FORMS[form](failure) }
  }
  const { status, description, detail = description, schema } = failing
  const own = { 'application/problem+json': { schema, example: schema?.examples?.[0] } }
  return { status, description, content: schema === undefined ? FORMS[form]({ status, detail }) : own }
}
