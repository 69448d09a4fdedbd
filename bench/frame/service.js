// @ts-check
import { EventEmitter, once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { alive, end, NODE_FLAGS, pidOf, start, within } from './processes.js'
import { freePort } from './redis.js'

const START_WITHIN_MS = 20_000
const LOOK_EVERY_MS = 20
const BATCH = 1_000
/** As pino numbers levels. */
const WARN = 40
/** Or the server would warn that webhooks go unsigned. */
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

/**
 * One server of a checkout that is built, started as anybody would who has many of them: `node dist/main.js`.
 *
 * @param {string} checkout
 * @param {Record<string, string>} settings
 * @param {{ stdoutTo?: string | import('node:stream').Writable }} [options] the file, or the process, that its standard
 *   output goes to, rather than to the bench
 */
export async function startService(checkout, settings, { stdoutTo } = {}) {
  const env = { PORT: '0', WEBHOOK_SECRETS: SECRET, ...settings }
  const server = await startServer(['dist/main.js'], { cwd: checkout, env, stdoutTo })
  const { url } = server
  return {
    ...server,
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
  }
}

/** @typedef {Awaited<ReturnType<typeof startService>>} BenchService */

/**
 * What the service is measured beside: a server of bench/peers/, which logs where it listens as the service does.
 *
 * @param {string} file in bench/peers/
 * @param {Record<string, string>} settings
 */
export const startPeer = (file, settings) =>
  startServer([fileURLToPath(new URL(`../peers/${file}`, import.meta.url))], { env: settings })

/**
 * @param {string[]} args of node
 * @typedef {string | import('node:stream').Writable | undefined} StdoutTo
 * @param {{ cwd?: string, env: Record<string, string>, stdoutTo?: StdoutTo }} options
 */
async function startServer(args, { cwd, env: given, stdoutTo }) {
  // What goes to another process is not read here, so the port has to be known before.
  const env = typeof stdoutTo === 'object' ? { ...given, PORT: String(await freePort()) } : given
  const fd = typeof stdoutTo === 'string' ? openSync(stdoutTo, 'w') : undefined
  const child = start(process.execPath, [...NODE_FLAGS, ...args], {
    ...{ env: { PATH: process.env.PATH, ...env } },
    ...(cwd === undefined ? {} : { cwd }),
    ...(typeof stdoutTo === 'object' ? { stdout: stdoutTo } : {}),
    ...(fd === undefined ? {} : { stdout: fd }),
  })
  if (fd !== undefined) closeSync(fd)
  const log = new EventEmitter()
  const listening = once(log, 'listening')
  const warned = once(log, 'warning').then(([line]) => {
    throw new Error(`the server complains: ${line}`)
  })
  warned.catch(() => undefined)
  if (child.stdout !== null) createInterface(child.stdout).on('line', (line) => read(line, log))
  else if (typeof stdoutTo === 'string') void readUntilListening(stdoutTo, log, child)
  else void askUntilListening(`http://127.0.0.1:${env.PORT}`, log, child)
  const [url] = await within(START_WITHIN_MS, 'the server to listen', alive(child, listening))
  return {
    url: String(url),
    pid: pidOf(child),
    /**
     * @template T
     * @param {Promise<T>} promise
     * @returns {Promise<T>} rejects when the server ends before, or warns (which is not seen where its standard output
     *   goes elsewhere): what is measured makes it do neither
     */
    well: (promise) => alive(child, Promise.race([promise, warned])),
    stop: () => end(child),
  }
}

/** @typedef {Awaited<ReturnType<typeof startServer>>} BenchServer */

/** @param {string} line @param {EventEmitter} log */
function read(line, log) {
  const { level, msg } = JSON.parse(line)
  const [, address] = /listening on (http:\S+)/.exec(msg) ?? []
  if (address !== undefined) log.emit('listening', address)
  if (level >= WARN) log.emit('warning', line)
}

/** @type {(file: string, log: EventEmitter, child: import('node:child_process').ChildProcess) => Promise<void>} */
async function readUntilListening(file, log, child) {
  let isListening = false
  log.once('listening', () => {
    isListening = true
  })
  const handle = await open(file)
  let text = ''
  while (!isListening && child.exitCode === null) {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(65_536) })
    text += buffer.toString('utf8', 0, bytesRead)
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) read(line, log)
    await sleep(LOOK_EVERY_MS)
  }
  await handle.close()
}

/** @type {(url: string, log: EventEmitter, child: import('node:child_process').ChildProcess) => Promise<void>} */
async function askUntilListening(url, log, child) {
  while (child.exitCode === null) {
    const answer = await fetch(`${url}/ready`).catch(() => undefined)
    if (answer?.ok) return void log.emit('listening', url)
    await sleep(LOOK_EVERY_MS)
  }
}
