// @ts-check
import { compared, whole } from '../frame/figures.js'
import { startHelper } from '../frame/processes.js'
import { startRedis } from '../frame/redis.js'
import { inTurn } from '../frame/rounds.js'
import { startService } from '../frame/service.js'
import { servicePass } from '../webhook/webhook.js'

/** @typedef {import('./listeners.js').Told} Told */

const CLIENTS = 10
const HOSTS = 8
const TO_REACH = 0.97
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

  const [passes = [], besides = []] = await inTurn(
    [
      {
        name: `${CLIENTS} clients`,
        async run() {
          const pass = await watchedPass?.(urls, messages, 0)
          const told = /** @type {Told} */ (await listeners.ask({ delivered: messages }, TOLD_WITHIN_MS))
          if (told.messages !== messages || told.gaps + told.outOfOrder > 0)
            throw new Error(`of ${messages} messages, clients were told ${JSON.stringify(told)}`)
          return /** @type {import('../webhook/webhook.js').Pass} */ (pass)
        },
      },
      {
        name: 'no listener',
        run: async () =>
          /** @type {import('../webhook/webhook.js').Pass} */ (await alonePass?.(urls, messages, 0)),
      },
    ],
    {
      ...{ rounds, quiet, title: 'events' },
      tell: ({ perSecond, othersCores }) => `${whole(perSecond)}/s, others ${othersCores.toFixed(2)} cores`,
    },
  )
  for (const { service, redis } of [watched, alone]) {
    await service.stop()
    await redis.stop()
  }
  await Promise.all([listeners.stop(), receiver.stop()])
  const rate = (/** @type {import('../webhook/webhook.js').Pass[]} */ all) =>
    all.map(({ perSecond }) => perSecond)
  return {
    raw: { rounds, messages, passes, besides },
    rows: [
      compared({
        ...{ part: 'events', what: `webhooks, told to ${CLIENTS} clients`, unit: 'messages/s' },
        figures: rate(passes),
        beside: { name: 'no listener', figures: rate(besides) },
        target: { atLeast: TO_REACH },
      }),
    ],
  }
}

/** @param {string} path */
async function start(path) {
  const redis = await startRedis()
  const settings = { REDIS_URL: redis.url, WEBHOOK_ALLOW: '127.0.0.1', EVENTS_MAX: '1000000' }
  return { redis, service: await startService(path, settings) }
}
