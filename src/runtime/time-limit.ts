import { SchedulerError } from '../domain/errors.ts'

/** A client hears no later than this what became of its request, or that nobody knows. */
export const ANSWER_WITHIN_MS = 1_200

/**
 * Waits for Redis, but not for ever: a connection that has gone silent takes longer to be noticed.
 *
 * Where this process itself was kept busy meanwhile, an answer that is there already still counts.
 *
 * @param time ms from now on, or a function of the ms that are left, which may grow while the call goes on
 * @throws SchedulerError STORE_UNAVAILABLE when `call` has not settled in time; perhaps it has been done
 */
export function withinTime<T>(
  call: Promise<T>,
  time: number | (() => number) = ANSWER_WITHIN_MS,
): Promise<T> {
  const endsAt = typeof time === 'number' ? performance.now() + time : 0
  const left = typeof time === 'number' ? () => endsAt - performance.now() : time
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout
    let settled = false
    const look = () => {
      const ms = left()
      if (ms > 0) timer = setTimeout(look, Math.ceil(ms))
      // Timers come before what has arrived is read: that goes first.
      else setImmediate(giveUp)
    }
    const giveUp = () => {
      if (settled) return
      if (left() > 0) return look()
      reject(
        new SchedulerError('STORE_UNAVAILABLE', 'Redis did not answer in time', {
          perhapsDone: true,
          timedOut: true,
        }),
      )
    }
    look()
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
export async function answersOf<T>(calls: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(calls)
  const answers = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = settled.find((each) => each.status === 'rejected')
  if (answers.length === 0 && failed !== undefined) throw failed.reason
  return answers
}
