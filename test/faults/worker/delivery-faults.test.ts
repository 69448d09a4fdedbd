import { beforeEach, describe, expect, it } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver, type Received } from '../../support/receiver.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const ALLOWED = { WEBHOOK_ALLOW: '127.0.0.1' }

let redis: TestRedis
beforeEach(async () => {
  redis = await startRedis()
})

const nothingIsLeft = (fleet: Fleet) =>
  until(
    'nothing is left',
    async () => (await redis.client.hlen(keysOf(0, fleet.namespace).messages)) === 0,
    30_000,
  )

/** How often each id came, for ids that came more than once. */
function repeated(requests: readonly Received[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { headers } of requests) {
    const id = String(headers['webhook-id'])
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return Object.fromEntries([...counts].filter(([, count]) => count > 1))
}

describe('Redis killed and restarted while webhooks are sent', () => {
  it('loses none of them, and repeats none if it is back before their locks end', async () => {
    const COUNT = 1_500
    const receiver = await openReceiver(answerWith(204))
    const fleet = await startFleet({
      size: 2,
      redisUrl: redis.url,
      env: { ...ALLOWED, LOCK_TTL_MS: '5000' },
    })
    const destination = { type: 'webhook', url: receiver.url } as const
    const ids = await fleet.schedule(COUNT, Date.now(), { destination })
    await until('some are sent', () => receiver.requests.length > COUNT / 10)
    await redis.kill()
    const sentBefore = receiver.requests.length
    expect(sentBefore).toBeLessThan(COUNT)
    await redis.start()
    await nothingIsLeft(fleet)
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(ids))
    expect(repeated(receiver.requests)).toEqual({})
  })

  it('lets a delivery end meanwhile, and then acknowledges it', async () => {
    let finish: () => void = () => undefined
    const receiver = await openReceiver((response) => {
      finish = () => void response.writeHead(204).end()
    })
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: ALLOWED })
    const [server] = fleet.servers as [Service]
    const destination = { type: 'webhook', url: receiver.url } as const
    const [id] = await fleet.schedule(1, Date.now(), { destination })
    await until('it is sent', () => receiver.requests.length === 1)
    await redis.kill()
    finish()
    await until('the server knows', async () => (await server.get('/health')).status === 503)
    await redis.start()
    await nothingIsLeft(fleet)
    expect((await server.call('GET', `/v1/messages/${id}`)).body).toMatchObject({
      status: 'delivered',
      attempts: 0,
      recoveries: 0,
    })
    expect(receiver.requests).toHaveLength(1)
  })

  it('breaks off a delivery whose lock it could not extend, and it comes again with a larger claim', async () => {
    const receiver = await openReceiver((response) => {
      if (receiver.requests.length > 1) response.writeHead(204).end()
    })
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: { ...ALLOWED, LOCK_TTL_MS: '3000' } })
    const [server] = fleet.servers as [Service]
    const destination = { type: 'webhook', url: receiver.url, timeoutMs: 600_000 } as const
    const [id] = await fleet.schedule(1, Date.now(), { destination })
    await until('it is sent', () => receiver.requests.length === 1)
    redis.signal('SIGSTOP')
    await until('it is broken off', () => receiver.connections[0]?.destroyed === true)
    redis.signal('SIGCONT')
    await nothingIsLeft(fleet)
    const [first, second] = receiver.requests.map(({ headers }) => headers)
    expect(receiver.requests).toHaveLength(2)
    expect(second?.['carillon-attempt']).toBe('2')
    expect(Number(second?.['carillon-claim'])).toBeGreaterThan(Number(first?.['carillon-claim']))
    expect((await server.call('GET', `/v1/messages/${id}`)).body).toMatchObject({
      status: 'delivered',
      attempts: 0,
      recoveries: 1,
    })
  })
})

describe('a full Redis', () => {
  it('does not keep messages from being delivered, tried again, given up and pulled', async () => {
    const receiver = await openReceiver((response, { path, headers }) => {
      if (path === '/gone') response.writeHead(410).end('x'.repeat(1_000))
      else response.writeHead(headers['carillon-attempt'] === '1' ? 503 : 204).end('x'.repeat(1_000))
    })
    const env = { ...ALLOWED, RETRY_MIN_MS: '10', RETRY_JITTER: 'none' }
    const fleet = await startFleet({ size: 0, redisUrl: redis.url, env })
    const to = (path: string) => ({ type: 'webhook', url: receiver.url + path }) as const
    const COUNT = 50
    await fleet.schedule(COUNT, Date.now(), { prefix: 'again-', destination: to('/again') })
    await fleet.schedule(COUNT, Date.now(), { prefix: 'gone-', destination: to('/gone') })
    await fleet.schedule(COUNT, Date.now(), { prefix: 'entry-', destination: { type: 'stream', name: 's' } })
    await fleet.schedule(COUNT, Date.now(), { prefix: 'pull-', destination: { type: 'pull', queue: 'q' } })
    await redis.client.config('SET', 'maxmemory', '1')
    const server = await fleet.add()

    const claim = () =>
      server.call<{ messages: { id: string; token: string }[] }>('POST', '/v1/queues/q/claim', {
        limit: COUNT,
      })
    const leased = (await claim()).body.messages.map(({ id, token }) => ({ id, token }))
    expect(leased).toHaveLength(COUNT)
    const released = await server.call('POST', '/v1/queues/q/release', { messages: leased, delay: 1 })
    expect(released.body).toEqual({ released: COUNT, lost: [] })
    const again = await server.call<{ messages: { id: string; token: string }[] }>(
      'POST',
      '/v1/queues/q/claim',
      { limit: COUNT, waitMs: 5_000 },
    )
    const messages = again.body.messages.map(({ id, token }) => ({ id, token }))
    expect((await server.call('POST', '/v1/queues/q/extend', { messages })).status).toBe(200)
    expect((await server.call('POST', '/v1/queues/q/acknowledge', { messages })).body).toEqual({
      acknowledged: COUNT,
      lost: [],
    })

    const stats = async () => (await server.call<{ counts: object }>('GET', '/v1/stats')).body.counts
    await until('all are delivered or given up', async () => {
      const { scheduled, claimed } = (await stats()) as { scheduled: number; claimed: number }
      return scheduled + claimed === 0
    })
    expect(await stats()).toEqual({ scheduled: 0, claimed: 0, dead: COUNT })
    expect(receiver.requests.filter(({ path }) => path === '/again')).toHaveLength(2 * COUNT)
    expect(receiver.requests.filter(({ path }) => path === '/gone')).toHaveLength(COUNT)
    expect(await redis.client.xlen(`${keysOf(0, fleet.namespace).streamPrefix}s`)).toBe(COUNT)
    // To make room is what a user can do.
    expect((await server.call('DELETE', '/v1/dead', { all: true })).body).toEqual({ deleted: COUNT })
  })
})
