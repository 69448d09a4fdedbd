// @ts-check
import { createConsoleFile } from './console-file.js'
import { createLead } from './fill.js'
import { startHelper } from './processes.js'
import { startRedis } from './redis.js'
import { startService } from './service.js'

/** As the service names the keys of its first shard. */
const KEYS = '{carillon:0}:'

/**
 * One server with a Redis of its own.
 *
 * @param {string} checkout
 */
export async function startSubject(checkout) {
  const redis = await startRedis()
  const client = clientOf(redis)
  const console = await createConsoleFile()
  const service = await startService(checkout, { REDIS_URL: redis.url }, { stdoutTo: console.path })
  return {
    ...{ redis, client, service, console, lead: createLead() },
    async stop() {
      await service.stop()
      await redis.stop()
    },
  }
}

/**
 * One server with a Redis of its own, whose console is read as it writes, see reader.js.
 *
 * @param {string} checkout
 */
export async function startReadSubject(checkout) {
  const redis = await startRedis()
  const client = clientOf(redis)
  const reader = startReader()
  const service = await startService(checkout, { REDIS_URL: redis.url }, { stdoutTo: reader.input })
  reader.input.destroy()
  return {
    ...{ redis, client, service, reader, console: reader, lead: createLead() },
    async stop() {
      await service.stop()
      await redis.stop()
      await reader.stop()
    },
  }
}

/**
 * @typedef {object} Subject
 * @property {import('./redis.js').BenchRedis} redis
 * @property {import('ioredis').Redis} client of the bench's own
 * @property {import('./service.js').BenchService} service
 * @property {{ take(): Promise<{ lines: number, distinct: number }> }} console what it wrote since the last time
 * @property {ReturnType<typeof createLead>} lead
 */

/** @typedef {Subject & { reader: Reader }} ReadSubject */

const ANSWER_TIMEOUT_MS = 60_000

/** A process that reads what another one writes, and knows when each line came. */
export function startReader() {
  const helper = startHelper(new URL('reader.js', import.meta.url), [], { reads: true })
  const { input, stop } = helper
  if (input === null) throw new Error('a reader without standard input')
  return {
    input,
    stop,
    /** Counts from 0 from now on. */
    reset: () => helper.ask({ reset: true }, ANSWER_TIMEOUT_MS),
    /** @type {(lines: number, withinMs: number) => Promise<object>} fulfilled when so many messages have come */
    until: (lines, withinMs) => helper.ask({ expect: lines }, withinMs),
    /** @returns {Promise<import('./reader.js').Taken>} what has come since the last time */
    take: () => helper.ask({ take: true }, ANSWER_TIMEOUT_MS),
  }
}

/** @typedef {ReturnType<typeof startReader>} Reader */

/** @param {import('./redis.js').BenchRedis} redis */
export function clientOf({ clients: [client] }) {
  if (client === undefined) throw new Error('a Redis without a client')
  return client
}

/**
 * @param {import('ioredis').Redis} client
 * @param {number} at epoch ms
 * @returns {Promise<number>} messages due by then for the console or a stream, and those just being delivered
 */
export async function dueIn(client, at) {
  const scheduled = `${KEYS}scheduled_messages`
  const [console = 0, streams = 0, claimed = 0] = await Promise.all([
    client.zcount(scheduled, '-inf', at),
    client.zcount(`${scheduled}:stream`, '-inf', at),
    client.zcard(`${KEYS}claimed_messages`),
  ])
  return console + streams + claimed
}

/** @param {string} name of a stream */
export const streamKey = (name) => `${KEYS}stream:${name}`

const FORGET_AT_ONCE = 1_000

/**
 * Takes messages for the console away as if they had never been.
 *
 * @param {import('ioredis').Redis} client
 * @param {number} at when they are due, epoch ms
 */
export async function forget(client, at) {
  const scheduled = `${KEYS}scheduled_messages`
  for (;;) {
    const ids = await client.zrangebyscore(scheduled, at, at, 'LIMIT', 0, FORGET_AT_ONCE)
    if (ids.length === 0) return
    await Promise.all([client.zrem(scheduled, ...ids), client.hdel(`${KEYS}messages`, ...ids)])
  }
}

const LOOKUPS_AT_ONCE = 10_000

/**
 * Has the hash tables of Redis finish what they have begun. One that has become too small (as at 1,048,576 entries) is
 * moved into a larger one bit by bit, with each of the next million look-ups: what is measured meanwhile, by chance, is
 * slower than both before and after.
 *
 * @param {import('ioredis').Redis} client
 * @param {number} entries that they have had at most
 */
export async function settleTables(client, entries) {
  const script = `for _ = 1, ${LOOKUPS_AT_ONCE} do
    redis.call('HEXISTS', KEYS[1], '')
    redis.call('ZSCORE', KEYS[2], '')
  end`
  for (let left = 2 * entries; left > 0; left -= LOOKUPS_AT_ONCE) {
    await client.eval(script, 2, `${KEYS}messages`, `${KEYS}scheduled_messages`)
  }
}
