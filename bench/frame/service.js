// @ts-check
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { alive, end, pidOf, start, within } from './processes.js'

const START_WITHIN_MS = 20_000
const BATCH = 1_000
/** As pino numbers levels. */
const WARN = 40

/**
 * One server of a checkout that is built, started as anybody would who has many of them: `node dist/main.js`.
 *
 * @param {string} checkout
 * @param {Record<string, string>} settings
 */
export async function startService(checkout, settings) {
  const args = ['dist/main.js']
  const env = { PATH: process.env.PATH, PORT: '0', ...settings }
  const child = start(process.execPath, args, { cwd: checkout, env })
  const log = new EventEmitter()
  const listening = once(log, 'listening')
  const warned = once(log, 'warning').then(([line]) => {
    throw new Error(`the server complains: ${line}`)
  })
  warned.catch(() => undefined)
  if (child.stdout === null) throw new Error('a server without standard output')
  createInterface(child.stdout).on('line', (line) => {
    const { level, msg } = JSON.parse(line)
    const [, address] = /listening on (http:\S+)/.exec(msg) ?? []
    if (address !== undefined) log.emit('listening', address)
    if (level >= WARN) log.emit('warning', line)
  })
  const [url] = await within(START_WITHIN_MS, 'the server to listen', alive(child, listening))
  return {
    url,
    pid: pidOf(child),
    /**
     * @template T
     * @param {Promise<T>} promise
     * @returns {Promise<T>} rejects when the server ends or warns before: what is measured makes it do neither
     */
    well: (promise) => alive(child, Promise.race([promise, warned])),
    /**
     * Stores messages, in batches.
     *
     * @param {readonly object[]} messages as POST /v1/messages takes them
     */
    async schedule(messages) {
      for (let i = 0; i < messages.length; i += BATCH) {
        const response = await fetch(`${url}/v1/messages/batch`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ messages: messages.slice(i, i + BATCH) }),
        })
        const { results } = /** @type {{ results?: { status: number }[] }} */ (await response.json())
        if (!results?.every(({ status }) => status === 201)) {
          throw new Error(`a batch was answered ${response.status} ${JSON.stringify(results?.[0])}`)
        }
      }
    },
    /** @returns {Promise<{ scheduled: number, claimed: number, dead: number }>} messages by state */
    async counts() {
      const response = await fetch(`${url}/v1/stats`)
      const { counts } = /** @type {any} */ (await response.json())
      return counts
    },
    stop: () => end(child),
  }
}

/** @typedef {Awaited<ReturnType<typeof startService>>} BenchService */
