import { describe, expect, it, onTestFinished } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { hang, openReceiver } from '../../support/receiver.ts'
import { startRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { machineMs, startProbe } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const TYPES = ['console', 'webhook', 'stream', 'pull']
const ALLOWED = { WEBHOOK_ALLOW: '127.0.0.1' }

const overdueMs = async (server: Service) =>
  (await server.call<{ oldestOverdueMs: number }>('GET', '/v1/stats')).body.oldestOverdueMs

/** What /ready answers, with its words. */
const ready = async (server: Service) => {
  const { status, body } = await server.get('/ready')
  return [status, body.message]
}
const READY = [200, 'server is ready']

describe('/ready', () => {
  it('says no while Redis is away, and yes once it is back; /live says yes throughout', async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers as [Service]
    expect(await ready(server)).toEqual(READY)
    await redis.kill()
    expect(await ready(server)).toEqual([
      503,
      expect.stringMatching(/^server is not ready: [^;]*Redis[^;]*$/),
    ])
    expect((await server.get('/live')).status).toBe(200)
    await redis.start()
    await until('it is ready again', async () => (await ready(server))[0] === 200)

    const probe = startProbe(() => server.get('/live'))
    redis.signal('SIGSTOP')
    const from = performance.now()
    expect((await ready(server))[0]).toBe(503)
    expect(machineMs(from)).toBeLessThan(2_000 + 2 * probe.slowestMs())
    expect((await server.get('/live')).status).toBe(200)
    redis.signal('SIGCONT')
    await until('it is ready again', async () => (await ready(server))[0] === 200)
  })

  it('says no while Redis is nearly full', async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers as [Service]
    await redis.client.config('SET', 'maxmemory', '1')
    expect(await ready(server)).toEqual([503, expect.stringMatching(/more than 90 % of its maxmemory$/)])
    await redis.client.config('SET', 'maxmemory', '0')
    expect(await ready(server)).toEqual(READY)
  })

  it('says yes whatever waits for workers to pull it, or for a slot of a host that hangs', async () => {
    const hanging = await openReceiver(hang)
    const fleet = await startFleet({
      size: 2,
      env: { ...ALLOWED, HOST_CONCURRENCY: '1', READY_MAX_LATE_MS: '4000' },
    })
    const [server] = fleet.servers as [Service]
    const now = Date.now()
    await fleet.schedule(5, now, { destination: { type: 'pull', queue: 'nobody' }, prefix: 'pull-' })
    const webhook = { type: 'webhook', url: hanging.url, timeoutMs: 60_000 } as const
    await fleet.schedule(5, now, { destination: webhook, prefix: 'hook-' })
    // On a busy machine Redis may not answer in time now and then, which is another reason.
    await until('they are overdue', async () => {
      for (const each of fleet.servers) expect((await ready(each))[1]).not.toMatch(/overdue/)
      return (await overdueMs(server)) > 5_000
    })
    for (const each of fleet.servers) await expect.poll(() => ready(each)).toEqual(READY)
    expect(hanging.requests).toHaveLength(2)
  })

  it('says no once messages for the console are too late, as no worker is left, and yes once one is back', async () => {
    const fleet = await startFleet({ size: 1, env: { ROLES: 'api', READY_MAX_LATE_MS: '300' } })
    const [server] = fleet.servers as [Service]
    expect(await ready(server)).toEqual(READY)
    const ids = await fleet.schedule(3, Date.now())
    // On a busy machine Redis may not answer in time now and then, which is another reason.
    const late = /^server is not ready: the oldest overdue message is (\d+) ms late, more than 300 ms$/
    let lateMs = 0
    await until('it is not ready, as they are late', async () => {
      const [status, words] = await ready(server)
      lateMs = Number(late.exec(String(words))?.[1] ?? 0)
      return status === 503 && lateMs > 0
    })
    expect(lateMs).toBeGreaterThan(300)
    expect(await overdueMs(server)).toBeGreaterThan(300)
    await fleet.add({ env: { ROLES: 'worker' } })
    await fleet.untilDelivered(ids)
    await until('it is ready again', async () => (await ready(server))[0] === 200)
  })
})

describe('/metrics', () => {
  it('tells how late deliveries started, by destination, and what became of them', async () => {
    const receiver = await openReceiver((response, { headers }) => {
      const isFirst = headers['webhook-id'] === 'hook-0' && headers['carillon-attempt'] === '1'
      response.writeHead(isFirst ? 503 : 204).end()
    })
    const fleet = await startFleet({ size: 1, env: ALLOWED })
    const [server] = fleet.servers as [Service]
    // So late that the histogram has to say so.
    const dueAt = Date.now() - 25_000
    const webhook = { type: 'webhook', url: receiver.url } as const
    await fleet.schedule(4, dueAt, { prefix: 'line-' })
    await fleet.schedule(3, dueAt, { prefix: 'hook-', destination: webhook })
    await fleet.schedule(2, dueAt, { prefix: 'entry-', destination: { type: 'stream', name: 's' } })
    await fleet.schedule(2, dueAt, { prefix: 'pull-', destination: { type: 'pull', queue: 'q' } })
    const claimed = await server.call<{ messages: unknown[] }>('POST', '/v1/queues/q/claim', { limit: 1 })
    expect(claimed.body.messages).toHaveLength(1)
    let samples = await server.metrics()
    const sample = (name: string, labels: string) => samples.get(`carillon_${name}{${labels}}`)
    const by = (name: string) =>
      Object.fromEntries(TYPES.map((type) => [type, sample(name, `destination="${type}"`)]))
    await until('all but the pulled ones are delivered', async () => {
      samples = await server.metrics()
      const { console: lines, webhook: hooks, stream: entries } = by('delivered_total')
      // Counted as delivered a moment before it is acknowledged.
      const isSettled = sample('messages', 'state="claimed"') === 1
      return lines === 4 && hooks === 3 && entries === 2 && isSettled
    })
    expect(by('delivered_total')).toEqual({ console: 4, webhook: 3, stream: 2, pull: 0 })
    // Once for each start: the webhook that failed has two, the second of them on time.
    expect(by('lateness_seconds_count')).toEqual({ console: 4, webhook: 4, stream: 2, pull: 1 })
    const within10s = (type: string) => sample('lateness_seconds_bucket', `le="10",destination="${type}"`)
    expect(TYPES.map(within10s)).toEqual([0, 1, 0, 0])
    expect(by('lateness_seconds_sum').pull).toBeGreaterThan(24)
    expect(by('failed_total')).toEqual({ console: 0, webhook: 1, stream: 0, pull: 0 })
    expect(by('retried_total')).toEqual({ console: 0, webhook: 1, stream: 0, pull: 0 })
    expect(sample('messages', 'state="scheduled"')).toBe(1)
    expect(samples.get('carillon_oldest_overdue_seconds')).toBeGreaterThan(24)
  })
})
