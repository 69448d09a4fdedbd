import type { AttemptReport } from '../../domain/message.ts'
import type { Outcome } from '../delivery.ts'
import { AddressNotAllowedError } from './guarded-lookup.ts'
import type { RequestResult, WebhookResponse } from './in-flight-request.ts'
import { parseRetryAfter } from './retry-after.ts'

/** What one attempt was, as far as its report goes without the response. */
export type AttemptSummary = Pick<AttemptReport, 'at' | 'claim' | 'durationMs'>

const LONGEST_REASON = 200
const LONGEST_ERROR = 500

/** Statuses that mean "retry later": request timeout, too early, too many requests. All 5xx do, too. */
const RETRIED: ReadonlySet<number> = new Set([408, 425, 429])

/**
 * What a delivery's end means for its message.
 *
 * @param now epoch ms, when it ended
 */
export function classify(result: RequestResult, attempt: AttemptSummary, now: number): Outcome {
  switch (result.kind) {
    case 'response':
      return classifyResponse(result.response, attempt, now)
    case 'timeout': {
      const error = `no response within ${attempt.durationMs} ms`
      return { kind: 'failed', reason: 'timeout', report: { ...attempt, error } }
    }
    case 'aborted':
      return { kind: 'returned' }
    case 'error':
      return classifyError(result.error, attempt)
    default:
      return result satisfies never
  }
}

function classifyResponse(
  { status, location, retryAfter, body, problem }: WebhookResponse,
  attempt: AttemptSummary,
  now: number,
): Outcome {
  if (status >= 200 && status < 300) return { kind: 'delivered', status, durationMs: attempt.durationMs }
  const report = {
    ...{ ...attempt, status },
    ...(problem === undefined ? {} : { error: oneLine(describe(problem), LONGEST_ERROR) }),
    ...(body === '' ? {} : { body }),
  }
  const reason = `status ${status}`
  if (RETRIED.has(status) || (status >= 500 && status < 600)) {
    const retryAfterMs = retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, now)
    return { kind: 'failed', reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }), report }
  }
  const isRedirect = status >= 300 && status < 400 && location !== undefined
  const to = isRedirect ? ` to ${location}` : ''
  return { kind: 'rejected', reason: oneLine(reason + to, LONGEST_REASON), report }
}

/** Codes of a request that can never be sent. Such a message was stored before its fields were checked. */
const UNSENDABLE: ReadonlySet<string> = new Set([
  'ERR_INVALID_URL',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
])

function classifyError(error: Error, attempt: AttemptSummary): Outcome {
  const report = { ...attempt, error: oneLine(describe(error), LONGEST_ERROR) }
  if (error instanceof AddressNotAllowedError) {
    return { kind: 'rejected', reason: 'address not allowed', report }
  }
  if (UNSENDABLE.has(codeOf(error) ?? '')) return { kind: 'rejected', reason: 'invalid request', report }
  return { kind: 'failed', reason: 'network', report }
}

/** The code of an error, and its words. */
function describe(error: Error): string {
  const code = codeOf(error)
  // An attempt at each of several addresses, and no words for all of them.
  const words = error instanceof AggregateError ? error.errors.map(wordsOf).join('; ') : error.message
  return code === undefined || words.includes(code) ? words : `${code}: ${words}`
}

const codeOf = (error: Error): string | undefined => (error as NodeJS.ErrnoException).code

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Text from elsewhere on one line, and no longer than what is kept of it. */
function oneLine(text: string, longest: number): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  if (line.length <= longest) return line
  // A cut may leave half a character, which Buffer makes a whole one.
  return `${Buffer.from(line.slice(0, longest - 1)).toString()}…`
}
