import { withTimeout } from '../runtime/time-limit.ts'
import type { RedisFacts } from '../store/requirements.ts'

export interface ReadinessOptions {
  /** rejects with the reason while Redis is unavailable */
  readonly ping: () => Promise<void>
  readonly facts: () => Promise<Pick<RedisFacts, 'usedMemoryBytes' | 'maxMemoryBytes'>>
  /** how late the oldest overdue message is, ms; 0 if there is none */
  readonly oldestOverdueMs: () => Promise<number>
  readonly maxLateMs: number
  /** for all checks together, ms */
  readonly withinMs?: number
}

const READY_WITHIN_MS = 1_000
/** Near its limit, a burst of messages or a copy for a replica is enough for Redis to refuse new messages. */
const FULL_FROM = 0.9

/**
 * Checks whether this server should get work: Redis answers, has room, and messages are not too late.
 *
 * @returns resolves if so; rejects after `withinMs` at the latest with every reason. Concurrent callers share one
 *   check, as it needs no key and is never rate-limited.
 */
export function createReadiness(options: ReadinessOptions): () => Promise<void> {
  let inFlight: Promise<void> | undefined
  return () => {
    inFlight ??= check(options).finally(() => {
      inFlight = undefined
    })
    return inFlight
  }
}

async function check(options: ReadinessOptions): Promise<void> {
  const { ping, facts, oldestOverdueMs, maxLateMs, withinMs = READY_WITHIN_MS } = options
  const [answered, memory, overdue] = await Promise.allSettled([
    withTimeout(ping(), withinMs),
    withTimeout(facts(), withinMs),
    withTimeout(oldestOverdueMs(), withinMs),
  ])
  const reasons: string[] = []
  if (answered.status === 'rejected') reasons.push(wordsOf(answered.reason))
  // While Redis is away, the other checks fail too, which is no further reason.
  const isUnavailable = answered.status === 'rejected'

  if (memory.status === 'fulfilled') {
    const { usedMemoryBytes, maxMemoryBytes } = memory.value
    // Memory that Redis does not report is not checked: such a server would otherwise never be ready.
    if (
      maxMemoryBytes !== null &&
      usedMemoryBytes !== null &&
      maxMemoryBytes > 0 &&
      usedMemoryBytes > maxMemoryBytes * FULL_FROM
    )
      reasons.push(`Redis uses more than ${FULL_FROM * 100} % of its maxmemory`)
  } else if (!isUnavailable) {
    reasons.push(`the memory of Redis is unknown: ${wordsOf(memory.reason)}`)
  }

  if (overdue.status === 'fulfilled') {
    if (overdue.value > maxLateMs)
      reasons.push(`the oldest overdue message is ${overdue.value} ms late, more than ${maxLateMs} ms`)
  } else if (!isUnavailable) {
    reasons.push(`the lateness of messages is unknown: ${wordsOf(overdue.reason)}`)
  }
  if (reasons.length > 0) throw new Error(reasons.join('; '))
}

const wordsOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
