// @ts-check
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { cpuMsOfEnded, start, temporaryFolder, within } from './processes.js'

/** What a run may take beyond its seconds. */
const MORE_MS = 20_000

/**
 * @typedef {object} LoadOptions
 * @property {string} url
 * @property {number} connections
 * @property {number} seconds
 * @property {string} [method] POST unless said
 * @property {string} [body]
 * @property {string} [contentType] JSON unless said
 * @property {number} [expectStatus] 200 unless said
 *
 * @typedef {object} Load
 * @property {number} requests answered
 * @property {number} requestsPerSecond
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number} cpuMs of what the load comes from
 * @property {number} errors requests without an answer, or with one that is not expected
 */

/**
 * Sends the same request again and again, each connection the next one once it has its answer: from wrk where that is
 * on PATH, else from autocannon, in a process of its own.
 *
 * @param {LoadOptions} options
 * @returns {Promise<Load>}
 * @throws {Error} when the first request, sent alone, is answered with another status, or any later one fails
 */
export async function load(options) {
  const { url, method = 'POST', body, contentType = 'application/json', expectStatus = 200 } = options
  const first = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body, headers: { 'content-type': contentType } }),
  })
  const text = await first.text()
  if (first.status !== expectStatus) throw new Error(`${url} answered ${first.status}: ${text.slice(0, 200)}`)
  const cpuBefore = cpuMsOfEnded()
  const measured = await (hasWrk() ? wrk : autocannon)({ ...options, method, contentType })
  if (measured.errors > 0) throw new Error(`${measured.errors} requests to ${url} failed`)
  return { ...measured, cpuMs: cpuMsOfEnded() - cpuBefore }
}

/** @returns {'wrk' | 'autocannon'} what load comes from */
export const loadComesFrom = () => (hasWrk() ? 'wrk' : 'autocannon')

/** @type {boolean | undefined} */
let wrkIsThere
function hasWrk() {
  if (wrkIsThere === undefined) {
    try {
      execFileSync('wrk', ['--version'], { stdio: 'ignore' })
      wrkIsThere = true
    } catch (error) {
      // It tells its version with another exit code than 0.
      wrkIsThere = /** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT'
    }
  }
  return wrkIsThere
}

/** @typedef {LoadOptions & { method: string, contentType: string }} Full */

/** @type {(options: Full) => Promise<Omit<Load, 'cpuMs'>>} */
async function wrk({ url, connections, seconds, method, body, contentType }) {
  const script = join(await temporaryFolder(), 'request.lua')
  const lines = [
    `wrk.method = ${JSON.stringify(method)}`,
    ...(body === undefined
      ? []
      : [`wrk.body = ${inLua(body)}`, `wrk.headers["content-type"] = ${JSON.stringify(contentType)}`]),
    'function done(summary, latency, requests)',
    '  local errors = summary.errors',
    '  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout',
    `  io.write(string.format('\\n{"requests":%d,"us":%d,"p50Us":%d,"p99Us":%d,"errors":%d}\\n', summary.requests,`,
    '    summary.duration, latency:percentile(50), latency:percentile(99), failed))',
    'end',
  ]
  await writeFile(script, lines.join('\n'))
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '--latency',
    '-s',
    script,
    url,
  ]
  const { requests, us, p50Us, p99Us, errors } = await lastLine('wrk', args, seconds)
  return {
    requests,
    requestsPerSecond: (requests * 1e6) / us,
    p50Ms: p50Us / 1_000,
    p99Ms: p99Us / 1_000,
    errors,
  }
}

/** A string as Lua reads it: what is not printable ASCII as bytes. @param {string} text */
function inLua(text) {
  const isPlain = (/** @type {number} */ byte) => byte >= 32 && byte <= 126 && byte !== 34 && byte !== 92
  const characters = [...Buffer.from(text)].map((byte) =>
    isPlain(byte) ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`,
  )
  return `"${characters.join('')}"`
}

/** @type {(options: Full) => Promise<Omit<Load, 'cpuMs'>>} */
async function autocannon({ url, connections, seconds, method, body, contentType }) {
  const file = join(await temporaryFolder(), 'body')
  await writeFile(file, body ?? '')
  const args = [
    ...[createRequire(import.meta.url).resolve('autocannon/autocannon.js'), '--json', '--no-progress'],
    ...['-c', String(connections), '-d', String(seconds), '-m', method],
    ...(body === undefined ? [] : ['-i', file, '-H', `content-type=${contentType}`]),
    url,
  ]
  const { requests, latency, errors, timeouts, non2xx, duration } = await lastLine(
    process.execPath,
    args,
    seconds,
  )
  return {
    requests: requests.total,
    requestsPerSecond: requests.total / duration,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
    errors: errors + timeouts + non2xx,
  }
}

/** @type {(file: string, args: string[], seconds: number) => Promise<any>} the last line it writes, parsed */
async function lastLine(file, args, seconds) {
  const child = start(file, args)
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  await within(seconds * 1_000 + MORE_MS, `${file} to end`, ended)
  const line = text.trim().split('\n').at(-1) ?? ''
  if (!line.startsWith('{')) throw new Error(`${file} wrote no result: ${line}`)
  return JSON.parse(line)
}
