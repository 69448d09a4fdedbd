// @ts-check
// What webhooks are compared with: the same undici client and nothing else, a process of its own. It signs and sends
// requests like the service's, from memory, as many at a time.
//
//   { urls, count, nonBlockingFd, body, headers, secret }   sends `count` requests to the urls in turn, each url having
//                                                           `nonBlockingFd` under way; answers { failed } when all are
//                                                           answered

import { createHmac } from 'node:crypto'
import { Agent } from 'undici'

/**
 * @typedef {object} Order
 * @property {string[]} urls
 * @property {number} count
 * @property {number} nonBlockingFd
 * @property {string} body
 * @property {string[]} headers names and values in turn
 * @property {string} secret base64
 */

// As in src/destinations/webhook/client.ts.
const agent = new Agent({
  connections: null,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
  keepAliveTimeout: 4_000,
  keepAliveMaxTimeout: 10_000,
  maxHeaderSize: 16_384,
})

let sent = 0

/** @type {(order: Order) => Promise<number>} */
async function send({ urls, count, nonBlockingFd, body, headers, secret }) {
  const key = Buffer.from(secret, 'base64')
  let failed = 0
  const left = urls.map((_, i) => Math.floor(count / urls.length) + (i < count % urls.length ? 1 : 0))
  const line = async (/** @type {string} */ url, /** @type {number} */ i) => {
    const { origin, pathname: path } = new URL(url)
    while ((left[i] ?? 0) > 0) {
      left[i] = (left[i] ?? 0) - 1
      sent += 1
      const id = `~${String(sent).padStart(12, '0')}`
      const timestamp = String(Math.floor(Date.now() / 1_000))
      const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
      const own = ['webhook-id', id, 'webhook-timestamp', timestamp, 'webhook-signature', `v1,${signature}`]
      const { statusCode, body: answer } = await agent.request({
        ...{ origin, path, method: 'POST', body },
        headers: [...headers, ...own],
      })
      if (statusCode !== 204) failed += 1
      await answer.dump()
    }
  }
  await Promise.all(urls.flatMap((url, i) => Array.from({ length: nonBlockingFd }, () => line(url, i))))
  return failed
}

process.on('message', async (/** @type {Order} */ order) => {
  process.send?.({ failed: await send(order) })
})
process.on('disconnect', () => process.exit())
