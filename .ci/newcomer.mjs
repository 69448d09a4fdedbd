// What somebody new does: clones, runs `npm start` with no redis-server on PATH, sends a message, stops, starts again.
//
//   node .ci/newcomer.mjs FOLDER RESULT    works in FOLDER (empty), writes its counts to RESULT

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readlinkSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const [folder = '', resultFile = ''] = process.argv.slice(2)
const origin = fileURLToPath(new URL('..', import.meta.url))
const root = realpathSync(folder)
const clone = join(root, 'carillon')

/** Only what hangs takes longer, on whatever machine. */
const HUNG_MS = 600_000
/** What npm alone takes to start: how fast the machine is just now. */
const NPM_MS = npmMs()
/** Three seconds, and more where npm itself takes long. */
const SECOND_START_MS = Math.max(3_000, 8 * NPM_MS)

function npmMs() {
  const began = performance.now()
  spawnSync('npm', ['--version'], { stdio: 'ignore' })
  return Math.round(performance.now() - began)
}

const count = { passed: 0, failed: 0 }

function check(what, holds, seen = '') {
  count[holds ? 'passed' : 'failed'] += 1
  console.log(`${holds ? 'ok' : 'NOT OK'}  ${what}${seen === '' ? '' : ` (${seen})`}`)
}

/** Waits for `find` to answer something. @returns what it answered, undefined when it did not in time */
async function waitFor(find, withinMs) {
  const giveUpAt = performance.now() + withinMs
  for (;;) {
    const found = await find()
    if (found !== undefined || performance.now() > giveUpAt) return found
    await sleep(20)
  }
}

/** A folder with a link to every program on PATH, save a Redis. */
function pathWithoutRedis() {
  const bin = join(root, 'bin')
  mkdirSync(bin)
  const taken = new Set()
  for (const directory of process.env.PATH.split(delimiter)) {
    for (const name of namesIn(directory)) {
      if (taken.has(name) || /^(redis|valkey)-/.test(name)) continue
      taken.add(name)
      symlinkSync(join(directory, name), join(bin, name))
    }
  }
  return bin
}

function namesIn(directory) {
  try {
    return readdirSync(directory)
  } catch {
    return [] // PATH may name folders that are not there
  }
}

/** The processes that work in FOLDER: nobody else's can. */
function leftRunning() {
  return namesIn('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${root}/`)
    } catch {
      return false // ended meanwhile
    }
  })
}

/** `npm start` with its output so far. */
function npmStart(path) {
  const { REDIS_URL, ...env } = process.env
  const child = spawn('npm', ['start'], {
    cwd: clone,
    env: { ...env, PATH: path, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const began = performance.now()
  const run = {
    child,
    output: '',
    ended: once(child, 'close'),
    age: () => Math.round(performance.now() - began),
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      run.output += text
    })
  }
  run.url = (withinMs) =>
    waitFor(() => {
      const end = child.exitCode ?? child.signalCode
      if (end !== null) throw new Error(`npm start ended with ${end}`)
      return /listening on (http:\/\/[^\s"]+)/.exec(run.output)?.[1]
    }, withinMs)
  run.delivered = (id, withinMs) =>
    waitFor(() => {
      const text = run.output.split('\n').find((line) => line.includes(`"messageId":"${id}"`))
      return text === undefined ? undefined : { ...JSON.parse(text), seenAt: Date.now() }
    }, withinMs)
  return run
}

async function post(url, message, dueAt) {
  const answer = await fetch(`${url}/echoAtTime`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ time: String(dueAt), message }),
  })
  const body = await answer.json()
  check(
    `POST /echoAtTime takes "${message}"`,
    answer.status === 200 && body.status === 'success',
    JSON.stringify(body),
  )
  return body.id
}

async function checkDelivery(run, id, message, dueAt) {
  const line = await run.delivered(id, HUNG_MS)
  const right = line?.msg === message && line?.dueAt === dueAt && line?.attempt === 1
  check(`"${message}" comes on the console`, right, JSON.stringify(line))
  check('and not before its time', line?.lateMs >= 0 && line?.seenAt >= dueAt)
}

async function checkStop(run) {
  run.child.kill('SIGTERM')
  const end = await Promise.race([run.ended, sleep(HUNG_MS, undefined, { ref: false })])
  check('SIGTERM to npm ends it with exit code 0', end?.[0] === 0, `code and signal ${end ?? 'none in time'}`)
  const nothing = await waitFor(() => (leftRunning().length === 0 ? true : undefined), HUNG_MS)
  check('and leaves nothing running', nothing === true, leftRunning().join(' '))
}

async function checkHealth(url) {
  const answer = await fetch(`${url}/health`)
  const body = await answer.json()
  check('GET /health says ok', answer.status === 200 && body.message === 'server is ok!')
}

async function tryOut(runs) {
  const cloned = spawnSync('git', ['clone', '--quiet', origin, clone], { stdio: 'inherit' })
  if (cloned.status !== 0) throw new Error('git clone failed')
  const path = pathWithoutRedis()

  runs.push(npmStart(path))
  const [first] = runs
  const firstUrl = await first.url(HUNG_MS)
  check('npm start serves from a bare checkout', firstUrl !== undefined, `${first.age()} ms`)
  await checkHealth(firstUrl)
  const soon = Date.now() + 1_500 + NPM_MS
  await checkDelivery(first, await post(firstUrl, 'in two seconds', soon), 'in two seconds', soon)
  // Not before it has been stopped.
  const later = Date.now() + 3_000 + 10 * NPM_MS
  const kept = await post(firstUrl, 'after the restart', later)
  await checkStop(first)

  runs.push(npmStart(path))
  const second = runs[1]
  const secondUrl = await second.url(HUNG_MS)
  await checkHealth(secondUrl)
  const age = second.age()
  check(
    'the second start answers /health within 3 s, or what is as long on this machine',
    age <= SECOND_START_MS,
    `${age} ms of ${SECOND_START_MS}`,
  )
  await checkDelivery(second, kept, 'after the restart', later)
  await checkStop(second)
}

/** Ends what a failed run left behind: the service in order first, so that it can stop its redis-server. */
async function endAll(runs) {
  for (const { child } of runs) child.kill('SIGTERM')
  await waitFor(() => (leftRunning().length === 0 ? true : undefined), 3_000)
  for (const pid of leftRunning()) spawnSync('kill', ['-9', pid])
}

const runs = []
process.once('SIGTERM', () => endAll(runs).then(() => process.exit(1)))
try {
  await tryOut(runs)
} catch (error) {
  check('the run gets to its end', false, error.message)
}
if (count.failed > 0) for (const { output } of runs) console.log(`--- npm start\n${output}`)
await endAll(runs)
// In the form of vitest's report, so that .ci/run reads both alike.
writeFileSync(
  resultFile,
  JSON.stringify({ numPassedTests: count.passed, numFailedTests: count.failed, testResults: [] }),
)
process.exit(count.failed > 0 ? 1 : 0)
