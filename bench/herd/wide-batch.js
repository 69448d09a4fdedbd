// @ts-check
import { Agent } from 'undici'

const MESSAGES = 10_000
const TAGS = 10
const SLOW_US = 10_000
const NOTED_US = 1_000
const MOST_NOTED = 100_000
const ANSWER_TIMEOUT_MS = 60_000

/**
 * @typedef {object} WidePass
 * @property {number} tookMs until the whole batch was answered
 * @property {number} unstored messages that were not answered with 201
 * @property {number} slowCalls calls of Redis that took over 10 ms
 * @property {number} slowestMs the slowest one; 0 when none took 1 ms
 * @property {import('./prober.js').Probed} probed
 */

let batches = 0

/** A batch in which every message has ten tags, a host or a queue that no other has. */
function wideBatch() {
  batches += 1
  const messages = Array.from({ length: MESSAGES }, (_, i) => ({
    ...{ delay: '1d', payload: i },
    tags: Array.from({ length: TAGS }, (_, tag) => `${batches}-${i}-${tag}`),
    destination:
      i % 2 === 0
        ? { type: 'webhook', url: `https://host-${batches}-${i}.example/` }
        : { type: 'pull', queue: `queue-${batches}-${i}` },
  }))
  return JSON.stringify({ messages })
}

/**
 * Has one server store a batch that is as much work for Redis as one can be, while others use all servers.
 *
 * @param {Awaited<ReturnType<typeof import('./stampede.js').startServers>>} all
 * @returns {Promise<WidePass>}
 */
export async function storeWideBatch({ redis, client, urls, prober }) {
  const body = wideBatch()
  await redis.watchSlow(NOTED_US)
  await client.config('SET', 'slowlog-max-len', MOST_NOTED)
  await prober.ask({ begin: true }, ANSWER_TIMEOUT_MS)
  const agent = new Agent({ headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS })
  const beganAt = performance.now()
  const answer = await agent.request({
    ...{ origin: urls[0] ?? '', path: '/v1/messages/batch', method: 'POST', body },
    headers: { 'content-type': 'application/json' },
  })
  const text = await answer.body.text()
  const tookMs = performance.now() - beganAt
  await agent.close()
  const probed = /** @type {import('./prober.js').Probed} */ (
    await prober.ask({ end: true }, ANSWER_TIMEOUT_MS)
  )
  const slow = await redis.slow()
  /** @type {{ status: number }[]} */
  const results = answer.statusCode === 200 ? JSON.parse(text).results : []
  return {
    tookMs,
    unstored: MESSAGES - results.filter(({ status }) => status === 201).length,
    slowCalls: slow.filter(({ us }) => us > SLOW_US).length,
    slowestMs: (slow[0]?.us ?? 0) / 1_000,
    probed,
  }
}
