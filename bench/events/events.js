// @ts-check
import { compared, whole } from '../frame/figures.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { startService } from '../frame/service.js'
import { servicePass } from '../webhook/webhook.js'

/** @typedef {import('./listeners.js').Told} Told */
/** @typedef {import('../webhook/webhook.js').Pass} Pass */

const CLIENTS = 10
/** All at once, the clients compete with the server for the cores of this machine. */
const CASES = [
  { name: 'at 2,000/s', perSecond: 2_000, target: { atLeast: 0.97 } },
  { name: 'all at once', perSecond: undefined, target: undefined },
]
const HOSTS = 8
const TOLD_WITHIN_MS = 60_000
const ANSWER_TIMEOUT_MS = 5_000

/**
 * How many webhooks a second are delivered while ten clients are told of everything, measured beside a service that has
 * no listener. No event may be missing, and those of a message have to come in order.
 *
 * @param {import('../main.js').Options} options
 */
export async function events({ rounds, messages, quiet, checkouts }) {
  const path = checkouts[0]?.path ?? '.'
  const receiver = startHelper(new URL('../webhook/receiver.js', import.meta.url), [String(HOSTS)])
  const listeners = startHelper(new URL('listeners.js', import.meta.url))
  // Two services: one that was listened to lately goes on collecting events for a minute.
  const [watched, alone] = await Promise.all([start(path), start(path)])
  await listeners.ask({ url: watched.service.url, clients: CLIENTS }, ANSWER_TIMEOUT_MS)
  const { ports } = /** @type {{ ports: number[] }} */ (await receiver.ask({}, ANSWER_TIMEOUT_MS))
  const urls = ports.map((port) => `http://127.0.0.1:${port}/hook`)
  const [watchedPass, alonePass] = [watched, alone].map(({ service, redis }) =>
    servicePass(service, redis, receiver),
  )

  const measured = []
  for (const { name, perSecond, target } of CASES) {
    const overMs = perSecond === undefined ? 0 : (messages * 1_000) / perSecond
    const [passes = [], besides = []] = await inTurn(
      [
        {
          name: `${CLIENTS} clients`,
          async run() {
            const pass = await watchedPass?.(urls, messages, 0, overMs)
            const told = /** @type {Told} */ (await listeners.ask({ delivered: messages }, TOLD_WITHIN_MS))
            if (told.messages !== messages || told.gaps + told.outOfOrder > 0)
              throw new Error(`of ${messages} messages, clients were told ${JSON.stringify(told)}`)
            return /** @type {Pass} */ (pass)
          },
        },
        {
          name: 'no listener',
          run: async () => /** @type {Pass} */ (await alonePass?.(urls, messages, 0, overMs)),
        },
      ],
      {
        ...{ rounds, quiet, title: `events, ${name}` },
        tell: (pass) => `${whole(pass.perSecond)}/s, others ${pass.othersCores.toFixed(2)} cores`,
      },
    )
    measured.push({ name, target, passes, besides })
  }
  for (const { service, redis } of [watched, alone]) {
    await service.stop()
    await redis.stop()
  }
  await Promise.all([listeners.stop(), receiver.stop()])
  const rate = (/** @type {Pass[]} */ all) => all.map(({ perSecond }) => perSecond)
  return {
    raw: { rounds, messages, measured },
    rows: measured.map(({ name, target, passes, besides }) =>
      compared({
        ...{ part: 'events', what: `webhooks ${name}, told to ${CLIENTS} clients`, unit: 'messages/s' },
        figures: rate(passes),
        beside: { name: 'no listener', figures: rate(besides) },
        ...(target === undefined ? {} : { target }),
      }),
    ),
  }
}

/** @param {string} path */
async function start(path) {
  const redis = await startRedis()
  const settings = { REDIS_URL: redis.url, WEBHOOK_ALLOW: '127.0.0.1', EVENTS_MAX: '1000000' }
  return { redis, service: await startService(path, settings) }
}
