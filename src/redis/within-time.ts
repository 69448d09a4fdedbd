import { SchedulerError } from '../errors.ts'

/** A client hears no later than this what became of its request, or that nobody knows. */
export const ANSWER_WITHIN_MS = 1_200

/**
 * Waits for Redis, but not for ever: a connection that has gone silent takes longer to be noticed.
 *
 * @throws SchedulerError STORE_UNAVAILABLE when `call` has not settled after `ms`; perhaps it has been done
 */
export function withinTime<T>(call: Promise<T>, ms = ANSWER_WITHIN_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(
          new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer in time', { perhapsDone: true }),
        ),
      Math.max(0, ms),
    )
    call.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * What those said who answered, for questions that one may leave open.
 *
 * @throws the first reason when none did
 */
export async function answersOf<T>(calls: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(calls)
  const answers = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = settled.find((each) => each.status === 'rejected')
  if (answers.length === 0 && failed !== undefined) throw failed.reason
  return answers
}
