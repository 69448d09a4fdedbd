import { SchedulerError } from '../domain/errors.ts'

/** A client hears no later than this what became of its request, or that nobody knows. */
export const ANSWER_TIMEOUT_MS = 1_200

/**
 * Waits for Redis with a limit: a silent connection takes longer to be noticed.
 *
 * If this process itself was busy meanwhile, an answer that has already arrived still counts.
 *
 * @param time ms from now on, or a function of the remaining ms, which may grow during the call
 * @throws SchedulerError STORE_UNAVAILABLE when `call` has not settled in time; it may have been executed
 */
export function withTimeout<T>(
  call: Promise<T>,
  time: number | (() => number) = ANSWER_TIMEOUT_MS,
): Promise<T> {
  const endsAt = typeof time === 'number' ? performance.now() + time : 0
  const left = typeof time === 'number' ? () => endsAt - performance.now() : time
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout
    let settled = false
    const check = () => {
      const ms = left()
      if (ms > 0) timer = setTimeout(check, Math.ceil(ms))
      // Timers come before what has arrived is read: that goes first.
      else setImmediate(timeOut)
    }
    const timeOut = () => {
      if (settled) return
      if (left() > 0) return check()
      reject(
        new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer in time', {
          outcomeUnknown: true,
          timedOut: true,
        }),
      )
    }
    check()
    call.then(resolve, reject).finally(() => {
      settled = true
      clearTimeout(timer)
    })
  })
}

/**
 * What those said who answered, for questions that one may leave open.
 *
 * @throws the first reason when none did
 */
export async function fulfilledValues<T>(calls: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(calls)
  const answers = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = settled.find((each) => each.status === 'rejected')
  if (answers.length === 0 && failed !== undefined) throw failed.reason
  return answers
}
