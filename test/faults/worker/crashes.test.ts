import { beforeEach, describe, expect, it } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { type Fleet, postMany, repeated, sameAttemptTwice, startFleet } from '../../support/fleet.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { machineMs, slowestOf, startProbe } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** Long enough that a busy machine lets servers extend it in time. */
const LOCK_TTL_MS = '5000'

let redis: TestRedis
beforeEach(async () => {
  redis = await startRedis()
})

const LARGE = 'x'.repeat(2_000)

/**
 * Makes a server claim `count` large messages and get stuck at its console, as nobody reads it: from then on it
 * has more claims in flight than `moreThan`, whatever happens to it.
 */
async function stickWithClaims(
  fleet: Fleet,
  server: Service,
  count: number,
  moreThan = 0,
): Promise<{ ids: string[]; inFlight: string[] }> {
  const keys = keysOf(0, fleet.namespace)
  server.stopReading()
  const ids = await fleet.schedule(count, Date.now() + 500, { payload: LARGE })
  let inFlight: string[] = []
  await until('its console is stuck', async () => {
    const before = inFlight.join()
    inFlight = await redis.client.zrange(keys.claimed, '0', '-1')
    // Claims that stay for many times what a call takes, while there is more to claim, are stuck.
    const slowest = await slowestOf(() => server.get('/health'))
    await new Promise((resolve) => setTimeout(resolve, 100 + 10 * slowest))
    return inFlight.length > moreThan && inFlight.join() === before
  })
  return { ids, inFlight }
}

describe('a server killed with kill -9', () => {
  it('loses nothing: another server recovers its claims and delivers them as a further attempt', async () => {
    const fleet = await startFleet({ size: 0, redisUrl: redis.url, env: { LOCK_TTL_MS, CLAIM_BATCH: '50' } })
    const victim = await fleet.add()
    const keys = keysOf(0, fleet.namespace)
    const { ids, inFlight } = await stickWithClaims(fleet, victim, 1_000)
    const killed = victim.end('SIGKILL')
    victim.readOn()
    await killed
    const heir = await fleet.add()
    await fleet.untilDelivered(ids)

    // Only what was in flight may have come twice, and only it says that it was tried before.
    for (const id of Object.keys(repeated(fleet.delivered()))) expect(inFlight).toContain(id)
    const again = heir.delivered.filter((line) => line.attempt > 1)
    expect(new Set(again.map((line) => line.messageId))).toEqual(new Set(inFlight))
    await until('nothing is left', async () => (await redis.client.hlen(keys.messages)) === 0)
  })

  it('repeats nothing that was not in flight, whenever it is killed', async () => {
    const fleet = await startFleet({ size: 3, redisUrl: redis.url, env: { LOCK_TTL_MS, CLAIM_BATCH: '20' } })
    const start = Date.now()
    const ids = await fleet.schedule(3_000, (i) => start + 1_500 + i)
    await until('half is delivered', () => fleet.delivered().length > 1_500)
    await fleet.servers[0]?.end('SIGKILL')
    await fleet.untilDelivered(ids)
    expect(Object.keys(repeated(fleet.delivered())).length).toBeLessThanOrEqual(3 * 20)
  })
})

describe('a server that was stopped for longer than its locks last', () => {
  it('does not begin, when it goes on, what others have taken over', async () => {
    const CLAIM_BATCH = 100
    const fleet = await startFleet({
      size: 0,
      redisUrl: redis.url,
      env: { LOCK_TTL_MS, CLAIM_BATCH: String(CLAIM_BATCH) },
    })
    const stopped = await fleet.add()
    const keys = keysOf(0, fleet.namespace)
    const { ids } = await stickWithClaims(fleet, stopped, 1_000, CLAIM_BATCH)
    stopped.signal('SIGSTOP')
    const other = await fleet.add()
    await until(
      'the other has delivered all that was left',
      async () => (await redis.client.hlen(keys.messages)) === 0,
    )
    stopped.signal('SIGCONT')
    stopped.readOn()
    await stopped.get('/health')
    expect(await stopped.end('SIGTERM')).toBe(0)
    await fleet.untilDelivered(ids)
    // The one batch whose write had begun came twice; the batches that had only been claimed did not.
    expect(other.delivered.length).toBeGreaterThan(0)
    expect(Object.keys(repeated(fleet.delivered())).length).toBeLessThanOrEqual(CLAIM_BATCH)
  })
})

describe('SIGTERM in the middle of a batch', () => {
  it('repeats nothing, loses nothing, and ends with 0', async () => {
    const fleet = await startFleet({ size: 2, redisUrl: redis.url, env: { CLAIM_BATCH: '100' } })
    const [leaver] = fleet.servers
    const ids = await fleet.schedule(6_000, Date.now() + 1_500)
    await until('the leaver is busy', () => (leaver?.delivered.length ?? 0) > 0)
    expect(await leaver?.end('SIGTERM')).toBe(0)
    await fleet.untilDelivered(ids)
    expect(repeated(fleet.delivered())).toEqual({})
    expect(fleet.delivered().every((line) => line.attempt === 1)).toBe(true)
    // Handed back, not left to expire: the locks of a leaver would have lasted 30 s.
    expect(await redis.client.zcard(keysOf(0, fleet.namespace).claimed)).toBe(0)
  })
})

describe('Redis killed and restarted in mid-load', () => {
  it('loses nothing that was accepted, and service goes on by itself', async () => {
    const fleet = await startFleet({ size: 3, redisUrl: redis.url, env: { LOCK_TTL_MS } })
    const leadMs = (await (fleet.servers[0] as Service).soon(200)) - Date.now()
    const posting = postMany(fleet.servers, 6_000, () => Date.now() + leadMs)
    await until('some are delivered', () => fleet.delivered().length > 100)
    await redis.kill()
    await redis.start()
    const ids = await posting
    expect(ids.length).toBeGreaterThan(200)
    await fleet.untilDelivered(ids)
    // A write answered just before the crash may be repeated only under its lock: as a further attempt.
    expect(sameAttemptTwice(fleet.delivered())).toEqual([])
    expect((await fleet.servers[0]?.get('/health'))?.status).toBe(200)
    expect(await fleet.findings()).toEqual([])
  })
})

describe('a full Redis', () => {
  it('is emptied also by servers that find it full when they start', async () => {
    const filler = await startFleet({ size: 0, redisUrl: redis.url })
    const ids = await filler.schedule(20, Date.now() - 1)
    await redis.client.config('SET', 'maxmemory', '1')
    const emptier = await filler.add({ env: { SHARDS: '2' } })
    await filler.untilDelivered(ids)
    expect((await emptier.post(Date.now() + 60_000, 'x')).status).toBe(503)
  })

  it('can be looked at and cancelled in, while it takes nothing new', async () => {
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    const [id] = await fleet.schedule(3, Date.now() + 3_600_000)
    await redis.client.config('SET', 'maxmemory', '1')
    const statusOf = async (method: string, path: string, body?: unknown) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
      return (await fetch(`${server?.url}${path}`, init)).status
    }
    for (const path of [`/v1/messages/${id}`, '/v1/messages', '/v1/forecast', '/v1/stats']) {
      expect([path, await statusOf('GET', path)]).toEqual([path, 200])
    }
    expect(await statusOf('POST', '/v1/messages', { payload: 1 })).toBe(503)
    expect(await statusOf('PATCH', `/v1/messages/${id}`, { payload: 1 })).toBe(503)
    expect(await statusOf('DELETE', `/v1/messages/${id}`)).toBe(204)
    expect(await statusOf('POST', '/v1/messages/cancel', { tag: 't' })).toBe(200)
    expect(await statusOf('POST', '/v1/messages/cancel', { ids: ['m1'] })).toBe(200)
  })
})

describe('Redis away', () => {
  it('gets 503 within two seconds, down or hanging, and service resumes when it is back', async () => {
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    const probe = startProbe(async () => server?.get('/live'))
    const timed = async () => {
      const from = performance.now()
      const [post, health] = await Promise.all([
        server?.post(Date.now() + 60_000, 'x'),
        server?.get('/health'),
      ])
      return { post, health, tookMs: performance.now() - from }
    }
    const expectAway = ({ post, health, tookMs }: Awaited<ReturnType<typeof timed>>) => {
      expect(post?.status).toBe(503)
      expect(post?.body.status).toBe('error')
      expect(health?.status).toBe(503)
      expect(health?.body.message).toMatch(/^server is not running due to: \S/)
      expect(tookMs).toBeLessThan(2_000 + 2 * probe.slowestMs())
    }
    redis.signal('SIGSTOP')
    expectAway(await timed())
    redis.signal('SIGCONT')
    await until('it answers again', async () => (await server?.get('/health'))?.status === 200)

    await redis.kill()
    expectAway(await timed())
    await redis.start()
    await until('it answers again', async () => (await server?.get('/health'))?.status === 200)
    const posted = await server?.post(await server.soon(), 'back')
    expect(posted?.status).toBe(200)
    await fleet.untilDelivered([posted?.body.id ?? ''])
    // Logged once each, not once per attempt.
    expect(server?.log.filter((line) => line.msg === 'Redis is back').length).toBeLessThanOrEqual(2)
  })

  it('hanging, is answered 503 within two seconds by every route of the message API', async () => {
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    const probe = startProbe(async () => server?.get('/live'))
    redis.signal('SIGSTOP')
    const json = { 'content-type': 'application/json' }
    const requests: [path: string, init: RequestInit][] = [
      ['/v1/messages', { method: 'POST', headers: json, body: '{"payload":1}' }],
      ['/v1/messages', {}],
      ['/v1/messages/a', {}],
      ['/v1/messages/a', { method: 'PATCH', headers: json, body: '{"payload":1}' }],
      ['/v1/messages/a', { method: 'DELETE' }],
      ['/v1/messages/cancel', { method: 'POST', headers: json, body: '{"tag":"t"}' }],
      ['/v1/messages/cancel', { method: 'POST', headers: json, body: '{"ids":["a"]}' }],
      ['/v1/messages/shift', { method: 'POST', headers: json, body: '{"tag":"t","byMs":1}' }],
      ['/v1/forecast', {}],
      ['/v1/stats', {}],
    ]
    for (const [path, init] of requests) {
      const from = performance.now()
      const response = await fetch(`${server?.url}${path}`, init)
      const took = performance.now() - from
      expect([path, response.status, response.headers.get('retry-after')]).toEqual([path, 503, '1'])
      expect(took).toBeLessThan(2_000 + 2 * probe.slowestMs())
      await response.text()
    }
    redis.signal('SIGCONT')
    await until('it answers again', async () => (await server?.get('/health'))?.status === 200)
  })

  it('does not keep a server from starting', async () => {
    await redis.kill()
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    expect((await server?.get('/health'))?.status).toBe(503)
    await redis.start()
    await until('it answers', async () => (await server?.get('/health'))?.status === 200)
    const posted = await server?.post(await server.soon(), 'there')
    await fleet.untilDelivered([posted?.body.id ?? ''])
  })
})

describe('a console that nobody reads any more', () => {
  it('holds up neither requests nor shutdown, and what it did not write another server delivers', async () => {
    const fleet = await startFleet({
      size: 0,
      redisUrl: redis.url,
      env: { LOCK_TTL_MS, SHUTDOWN_GRACE_MS: '500' },
    })
    const stuck = await fleet.add()
    const { ids } = await stickWithClaims(fleet, stuck, 1_000)
    expect((await stuck.get('/health')).status).toBe(200)
    expect((await stuck.post(Date.now() + 60_000, 'still accepted')).status).toBe(200)
    const from = performance.now()
    stuck.signal('SIGTERM')
    await until('it has ended', stuck.hasEnded)
    expect(machineMs(from)).toBeLessThan(8_000)
    stuck.readOn()
    expect(await stuck.end()).toBe(0)
    const heir = await fleet.add()
    await fleet.untilDelivered(ids)
    // What it had not begun to write it handed back: to the heir that is the first attempt.
    expect(heir.delivered.filter(({ attempt }) => attempt === 1).length).toBeGreaterThanOrEqual(400)
  })
})

describe('a console whose reader is gone', () => {
  it('ends its server, which says so, and costs no message an attempt', async () => {
    const fleet = await startFleet({ size: 0, redisUrl: redis.url })
    const broken = await fleet.add()
    broken.closeConsole()
    const ids = await fleet.schedule(50, Date.now() + 300)
    await until('it has ended', broken.hasEnded)
    expect(await broken.end()).toBe(1)
    expect(broken.stderr()).toMatch(/^carillon: standard output is closed .*\n$/)
    const heir = await fleet.add()
    await fleet.untilDelivered(ids)
    expect(heir.delivered.every(({ attempt }) => attempt === 1)).toBe(true)
  })
})
