import type { FastifyBaseLogger } from 'fastify'
import { SchedulerError } from '../../domain/errors.ts'

/** A refusal is logged again after this time, as it lasts until an operator fixes it. */
const LOG_AGAIN_AFTER_MS = 10_000

/** of this process */
let last = { text: '', at: Number.NEGATIVE_INFINITY }

/** Logs what Redis refuses: the same text now and then, not at every request. Does nothing for other errors. */
export function logRefusedWrite(error: unknown, log: Pick<FastifyBaseLogger, 'error'>): void {
  if (!(error instanceof SchedulerError) || error.code !== 'STORE_REFUSED') return
  const now = performance.now()
  if (error.message === last.text && now - last.at < LOG_AGAIN_AFTER_MS) return
  last = { text: error.message, at: now }
  log.error({ err: error.cause }, error.message)
}
