import { STATUS_CODES } from 'node:http'
import { type ErrorCode, SchedulerError } from '../../domain/errors.ts'
import { InvalidRequestError } from '../validation/validation.ts'
import { type ErrorReply, HttpError } from './http-error.ts'
import { codeOfStatus, type ProblemCode } from './problem-code.ts'

const ANSWERS = {
  STORE_UNAVAILABLE: [503, 'store_unavailable'],
  STORE_FULL: [503, 'store_full'],
  STORE_REFUSED: [503, 'store_unavailable'],
  DUE_TIME_PASSED: [400, 'invalid'],
  NOT_AFTER_TOO_SOON: [400, 'invalid'],
  ON_LATE_WITHOUT_NOT_AFTER: [400, 'invalid'],
  ID_CONFLICT: [409, 'id_conflict'],
  MESSAGE_NOT_FOUND: [404, 'not_found'],
  MESSAGE_CLAIMED: [409, 'message_claimed'],
  MESSAGE_FINISHED: [409, 'message_finished'],
  PAYLOAD_FORGOTTEN: [409, 'message_finished'],
  // Like one that is finished, it cannot be changed any more.
  MESSAGE_DAMAGED: [409, 'message_finished'],
  VERSION_MISMATCH: [412, 'version_mismatch'],
  CLOCK_BUSY: [409, 'clock_busy'],
  PAUSE_NOT_FOUND: [404, 'not_found'],
  PAUSE_ENDED: [400, 'invalid'],
  TOO_MANY_PASSES: [409, 'limit_reached'],
  TOO_MANY_PAUSES: [409, 'limit_reached'],
  OPERATION_NOT_FOUND: [404, 'not_found'],
  LIMIT_REACHED: [409, 'limit_reached'],
} as const satisfies Record<ErrorCode, readonly [status: number, code: ProblemCode]>

const WORDS = {
  STORE_UNAVAILABLE: 'Redis is not answering, so this may or may not have been done; try again',
  STORE_FULL: 'Redis is out of memory and takes no more messages for now; try again later',
  DUE_TIME_PASSED: 'time: must be in the future',
  NOT_AFTER_TOO_SOON: 'notAfter: must not be before the due time',
  ON_LATE_WITHOUT_NOT_AFTER: 'onLate: requires notAfter',
  ID_CONFLICT: 'id: already in use with different content',
  MESSAGE_NOT_FOUND: 'no message has this id',
  MESSAGE_CLAIMED: 'the message is being delivered',
  PAYLOAD_FORGOTTEN: 'the history does not have the payload of this message; the body must have one',
  MESSAGE_FINISHED: 'the message was already delivered, dropped or cancelled',
  MESSAGE_DAMAGED: 'the message is damaged in Redis; it can only be shown and deleted',
  CLOCK_BUSY: 'the test clock is being changed by another request',
  VERSION_MISMATCH: "the message's version is not one that If-Match lists",
  PAUSE_NOT_FOUND: 'nothing is paused under this target',
  PAUSE_ENDED: 'until: must be in the future',
  TOO_MANY_PASSES: 'the message is due, but paused, and too many others wait to be delivered all the same',
  TOO_MANY_PAUSES: 'target: as many are paused as may be (100); end one first',
  OPERATION_NOT_FOUND: 'no operation has this id',
  LIMIT_REACHED: 'too many operations are running; wait until one has finished, or stop one',
} as const satisfies Record<Exclude<ErrorCode, 'STORE_REFUSED'>, string>

const FIELD: Partial<Record<ErrorCode, string>> = {
  NOT_AFTER_TOO_SOON: '/notAfter',
  ON_LATE_WITHOUT_NOT_AFTER: '/onLate',
  PAUSE_ENDED: '/until',
  TOO_MANY_PAUSES: '/target',
}

/** Codes whose problem type is older than their name, and stays. */
const PROBLEM_TYPE: Partial<Record<ErrorCode, string>> = { ON_LATE_WITHOUT_NOT_AFTER: 'on-late-pointless' }

/** Fastify's own errors that deserve plainer words than theirs. */
const PLAINER: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content-type: must be application/json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body: is too large',
}

/** A new message without an id of the client's is not to be sent again blindly: that could double it. */
function unavailable({ outcomeUnknown, id }: SchedulerError): string {
  if (!outcomeUnknown) return 'Redis is not answering; the request was not executed; retry'
  if (id === undefined) return WORDS.STORE_UNAVAILABLE
  return (
    `Redis is not answering; the message may or may not be stored; if it is, GET /v1/messages/${id} ` +
    'finds it within 5 s'
  )
}

function detailOf(error: SchedulerError): string {
  const { code } = error
  if (code === 'STORE_UNAVAILABLE') return unavailable(error)
  // What Redis refuses only its own words tell.
  return code === 'STORE_REFUSED' ? error.message : WORDS[code]
}

/** The one table from what went wrong to what a client is told. Anything unknown is 500, without particulars. */
export function toErrorReply(error: unknown): ErrorReply {
  if (error instanceof SchedulerError) {
    const { code } = error
    const [status, problemCode] = ANSWERS[code]
    const path = FIELD[code]
    const detail = detailOf(error)
    return {
      status,
      code: problemCode,
      detail,
      ...(code === 'STORE_UNAVAILABLE' ? { plainDetail: WORDS[code] } : {}),
      ...(error.id === undefined ? {} : { members: { id: error.id } }),
      type: PROBLEM_TYPE[code] ?? code.toLowerCase().replaceAll('_', '-'),
      ...(path === undefined ? {} : { errors: [{ path, message: detail.slice(detail.indexOf(':') + 2) }] }),
      ...(status === 503 ? { retryAfter: 1 } : {}),
    }
  }
  if (error instanceof HttpError) return error.reply
  if (error instanceof InvalidRequestError)
    return { status: 400, detail: error.message, errors: error.errors }
  const {
    statusCode = 500,
    code = '',
    message = '',
  } = error as { statusCode?: number; code?: string; message?: string }
  if (statusCode >= 400 && statusCode < 500) return { status: statusCode, detail: PLAINER[code] ?? message }
  return { status: 500, detail: 'something went wrong on our side' }
}

/** The form of the original service's routes, and of every path outside `/v1`. */
export const toPlainBody = ({ detail, plainDetail = detail }: ErrorReply) => ({
  ...{ status: 'error' as const, message: plainDetail },
})

/** RFC 9457, the form of everything under `/v1`. */
export function toProblem({
  status,
  code = codeOfStatus(status),
  type,
  detail,
  errors,
  members,
}: ErrorReply) {
  return {
    type: type === undefined ? 'about:blank' : `urn:carillon:problem:${type}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code,
    detail,
    ...(errors === undefined ? {} : { errors }),
    ...members,
  }
}

/** Whether a request's target, a path or a whole URL, belongs to the API whose failures are problems. */
export const isApiPath = (url: string): boolean => /^(?:https?:\/\/[^/]+)?\/v1(?:[/?]|$)/.test(url)
