/** What a program can tell failures apart by. The list is closed: a client may switch over it. */
export const PROBLEM_CODES = [
  ...(['invalid', 'unauthorized', 'forbidden', 'not_found', 'method_not_allowed'] as const),
  ...(['id_conflict', 'message_claimed', 'message_finished', 'version_mismatch', 'leases_lost'] as const),
  ...(['too_large', 'unsupported_media_type', 'rate_limited', 'overloaded'] as const),
  ...(['store_unavailable', 'store_full', 'clock_busy', 'limit_reached', 'internal'] as const),
] as const
export type ProblemCode = (typeof PROBLEM_CODES)[number]

/** The codes of statuses that have only one, or one that is meant unless a failure names another. */
const BY_STATUS: Readonly<Record<number, ProblemCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  412: 'version_mismatch',
  413: 'too_large',
  414: 'too_large',
  415: 'unsupported_media_type',
  429: 'rate_limited',
  431: 'too_large',
  500: 'internal',
  503: 'overloaded',
}

/** The code of a failure that names none. */
export const codeOfStatus = (status: number): ProblemCode => BY_STATUS[status] ?? 'invalid'
