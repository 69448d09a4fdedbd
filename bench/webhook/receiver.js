// @ts-check
// The receiver, a process of its own: a plain node:http server on some ports that answers 204, at once or after a
// while, and counts.
//
//   node receiver.js PORTS
//
//   {}                answers the ports: { ports }
//   { expect, afterMs }   begins to count from 0, and answers requests so long after they came; answers at once
//   { wait: true }    answers Arrivals once there were as many as expected
//   { look: true }    answers Arrivals at once

import { createServer } from 'node:http'
import { monotonicMs } from '../frame/clock.js'

/**
 * @typedef {object} Arrivals
 * @property {number} count
 * @property {number} distinct how many different webhook ids there were
 * @property {number} firstAt monotonic ms of the machine
 * @property {number} lastAt
 */

/** @type {Set<string | string[] | undefined>} */
let ids = new Set()
let expected = Number.POSITIVE_INFINITY
let count = 0
let firstAt = 0
let lastAt = 0
let isWaitedFor = false
let answerAfterMs = 0

const tell = () => process.send?.({ count, distinct: ids.size, firstAt, lastAt })

function arrive() {
  count += 1
  if (count === 1) firstAt = monotonicMs()
  if (count < expected) return
  lastAt = monotonicMs()
  if (isWaitedFor) tell()
  isWaitedFor = false
}

const servers = Array.from({ length: Number(process.argv[2]) }, () =>
  createServer((request, response) => {
    request.resume()
    ids.add(request.headers['webhook-id'])
    arrive()
    if (answerAfterMs === 0) response.writeHead(204).end()
    else setTimeout(() => response.writeHead(204).end(), answerAfterMs)
  }),
)
const ports = await Promise.all(
  servers.map(
    (server) =>
      new Promise((resolve) => {
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          resolve(typeof address === 'object' ? address?.port : undefined)
        })
      }),
  ),
)

process.on(
  'message',
  (/** @type {{ expect?: number, afterMs?: number, wait?: true, look?: true }} */ order) => {
    const { expect, afterMs = 0, wait, look } = order
    if (expect !== undefined) {
      answerAfterMs = afterMs
      ids = new Set()
      ;[expected, count] = [expect, 0]
      process.send?.({})
    } else if (wait) {
      if (count >= expected) tell()
      else isWaitedFor = true
    } else if (look) tell()
    else process.send?.({ ports })
  },
)
process.on('disconnect', () => process.exit())
