// @ts-check
import { setTimeout as sleep } from 'node:timers/promises'

const BATCH = 2_000
/** Requests under way for each server: while one waits for Redis, the server reads the next. */
const AT_ONCE = 2
/**
 * So many batches may be answered that Redis was too slow to confirm all of it, as on a machine that others use too.
 */
const UNCONFIRMED_BATCHES = 50
const RESPITE_MS = 100

/**
 * Stores messages over HTTP as fast as may be: the same few again and again, of which a request is made once.
 *
 * @param {readonly string[]} urls servers that share the work
 * @param {readonly object[]} messages as POST /v1/messages takes them; without ids, so that none is like another
 * @param {number} count how many to store at least; there are more when some had been stored without being confirmed
 */
export async function fill(urls, messages, count) {
  const size = Math.min(BATCH, count)
  const bodies = /** @type {string[]} */ ([])
  for (let i = 0; i < messages.length; i += size) bodies.push(bodyOf(messages, i, size))
  let left = count
  let mayFail = UNCONFIRMED_BATCHES
  const line = async (/** @type {string} */ url) => {
    for (let i = 0; left > 0; i += 1) {
      const some = Math.min(size, left)
      left -= some
      const whole = some === size ? bodies[i % bodies.length] : undefined
      const response = await fetch(`${url}/v1/messages/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: whole ?? bodyOf(messages, 0, some),
      })
      const text = await response.text()
      const stored = text.split('"status":201').length - 1
      if (stored === some) continue
      mayFail -= 1
      if (mayFail < 0 || !text.includes('"status":503')) {
        throw new Error(`of ${some} messages ${stored} were stored: ${response.status} ${text.slice(0, 200)}`)
      }
      left += some - stored
      await sleep(RESPITE_MS)
    }
  }
  await Promise.all(urls.flatMap((url) => Array.from({ length: AT_ONCE }, () => line(url))))
}

/** @type {(messages: readonly object[], from: number, count: number) => string} */
const bodyOf = (messages, from, count) =>
  JSON.stringify({
    messages: Array.from({ length: count }, (_, i) => messages[(from + i) % messages.length]),
  })

const FIRST_MS_PER_MESSAGE = 0.05
const SPARE_MS = 1_000
const TRIES = 4

/** Has messages stored before they are due, and not much: how long storing takes is known from the last time. */
export function createLead() {
  let msPerMessage = FIRST_MS_PER_MESSAGE
  /**
   * @param {number} count
   * @param {(at: number) => Promise<void>} store stores so many, none due before `at`
   * @param {(at: number) => Promise<unknown>} discard waits for the end of those that were due too soon, and forgets
   *   them
   * @returns {Promise<number>} `at`, epoch ms
   * @throws {Error} when it took too long again and again
   */
  return async (count, store, discard) => {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const beganAt = Date.now()
      const at = beganAt + SPARE_MS + Math.ceil(count * msPerMessage)
      await store(at)
      const endedAt = Date.now()
      msPerMessage = (2 * (endedAt - beganAt)) / count
      if (endedAt < at - 100) return at
      await discard(at)
    }
    throw new Error(`${count} messages were due before all of them were stored, ${TRIES} times`)
  }
}
