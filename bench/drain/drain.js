// @ts-check
import { compared, median, short, whole } from '../frame/figures.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { clientOf, startSubject } from '../frame/subject.js'
import { drainPeer, drainService } from './backlog.js'

/** @typedef {import('./backlog.js').Pass} Pass */

const MESSAGES = 100_000
const TO_REACH = { console: { atLeast: 4 }, stream: { atLeast: 8 } }
/** Of a worker: the best of them is what is compared with. With fewer, each job would wait for the disk. */
const CONCURRENCIES = [20, 50, 200, 1_000]
const TRY_WITH = 20_000
const QUEUE = 'drain'

/**
 * How fast one server empties a backlog, to its console, which is a file, and into a stream; beside a BullMQ worker
 * whose jobs do nothing.
 *
 * @param {import('../main.js').Options} options
 */
export async function drain({ rounds, quiet, checkouts }) {
  const peer = await startPeer()
  const count = MESSAGES
  const tried = await tryConcurrencies(peer)
  const { concurrency } = tried.reduce((best, each) => (each.perSecond > best.perSecond ? each : best))

  const services = []
  for (const { name, path } of checkouts) services.push({ name, subject: await startSubject(path) })
  const subjects = [
    {
      ...{ name: `BullMQ worker, concurrency ${concurrency}`, to: undefined },
      run: () => drainPeer(peer, { count, concurrency }),
    },
    ...services.flatMap(({ name, subject }) =>
      DESTINATIONS.map((to) => ({
        ...{ name: name === 'Carillon' ? to : `${to}, ${name}`, to },
        run: () => drainService(subject, { count, to }),
      })),
    ),
  ]
  const results = await inTurn(subjects, { rounds, quiet, title: 'drain', tell })
  for (const { subject } of services) await subject.stop()
  await peer.stop()

  const named = subjects.map(({ name, to }, i) => ({ name, to, passes: results[i] ?? [] }))
  const [beside, ...ours] = named
  const rows = ours.flatMap(({ name, to, passes }) =>
    to === undefined
      ? []
      : [
          compared({
            ...{ part: 'drain', what: `a backlog of ${whole(count)} to ${name}`, unit: 'messages/s' },
            ...{ figures: rateOf(passes), target: TO_REACH[to] },
            beside: { name: beside?.name ?? '', figures: rateOf(beside?.passes ?? []) },
          }),
          // Which depends less on how busy the machine is.
          compared({
            ...{ part: 'drain', what: `the same to ${name}, CPU of server and Redis`, unit: 'µs each' },
            figures: cpuOf(passes),
            beside: { name: beside?.name ?? '', figures: cpuOf(beside?.passes ?? []) },
          }),
        ],
  )
  const raw = { count, redis: peer.redis.version, tried, subjects: named }
  return { raw, rows, details: [HEADINGS, ...named.map(detailsOf)] }
}

const DESTINATIONS = /** @type {const} */ (['console', 'stream'])

/** @param {Awaited<ReturnType<typeof startPeer>>} peer */
async function tryConcurrencies(peer) {
  const tried = []
  for (const concurrency of CONCURRENCIES) {
    const pass = await drainPeer(peer, { count: TRY_WITH, concurrency })
    tried.push({ concurrency, ...pass })
    console.error(`drain, to find the best, BullMQ worker, concurrency ${concurrency}: ${tell(pass)}`)
  }
  return tried
}

/** A BullMQ worker with a Redis of its own, equal to the service's. */
export async function startPeer() {
  const redis = await startRedis()
  const client = clientOf(redis)
  const worker = startHelper(new URL('../peers/bullmq-worker.js', import.meta.url), [
    ...['127.0.0.1', String(redis.port), QUEUE],
  ])
  return {
    ...{ redis, client, worker, queue: QUEUE },
    async stop() {
      await worker.stop()
      await redis.stop()
    },
  }
}

/** @param {Pass} pass */
const tell = ({ perSecond, senderCpuUs, redisCpuUs, othersCores }) =>
  `${whole(perSecond)}/s, CPU µs each: ${short(senderCpuUs)}, Redis ${short(redisCpuUs)}; ` +
  `others ${short(othersCores)} cores`

/** @param {Pass[]} passes */
const rateOf = (passes) => passes.map(({ perSecond }) => perSecond)

/** @param {Pass[]} passes */
const cpuOf = (passes) => passes.map(({ senderCpuUs, redisCpuUs }) => senderCpuUs + redisCpuUs)

const HEADINGS = ['drain', 'to', 'messages/s', 'CPU µs each: sender', 'Redis', 'others, cores']

/** @param {{ name: string, passes: Pass[] }} subject */
function detailsOf({ name, passes }) {
  const middle = (/** @type {'senderCpuUs' | 'redisCpuUs' | 'othersCores'} */ figure) =>
    short(median(passes.map((pass) => pass[figure])))
  const rate = whole(median(rateOf(passes)))
  return ['a backlog', name, rate, middle('senderCpuUs'), middle('redisCpuUs'), middle('othersCores')]
}
