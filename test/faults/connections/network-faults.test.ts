import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, inject, it, onTestFinished } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { setClockBack } from '../../support/clock-ahead.ts'
import { type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { openReceiver, type Received } from '../../support/receiver.ts'
import { startRedis, type TestRedis, type TestRedisOptions } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { startTraffic, type Traffic } from '../../support/traffic.ts'
import { until } from '../../support/until.ts'

const HOUR_MS = 3_600_000
const LOCK_TTL_MS = 1_000
/** A fault lasts longer than a lock. */
const FAULT_MS = 1_600

interface Scene {
  readonly redis: TestRedis
  readonly proxy: FaultyProxy
  readonly fleet: Fleet
  readonly traffic: Traffic
  readonly received: readonly (Received & { readonly seenAt: number })[]
  /** Waits until so many more messages are accepted. */
  accepted(more: number): Promise<void>
}

/** Two servers that reach their Redis through a proxy, and messages for every destination under way. */
async function setScene(
  redisOptions: TestRedisOptions = {},
  clockErrorsMs: readonly number[] = [0, 0],
): Promise<Scene> {
  const redis = await startRedis(redisOptions)
  const proxy = await startFaultyProxy(redis.port)
  onTestFinished(() => proxy.stop())
  const received: (Received & { seenAt: number })[] = []
  const receiver = await openReceiver((response, request) => {
    received.push({ ...request, seenAt: Date.now() })
    response.writeHead(request.path === '/fails' && Math.random() < 0.4 ? 500 : 204).end()
  })
  const fleet = await startFleet({
    size: 0,
    redisUrl: redis.url,
    env: {
      REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
      ...{ WEBHOOK_ALLOW: '127.0.0.1', LOCK_TTL_MS: String(LOCK_TTL_MS), SHARDS: '1', MAX_RECOVERIES: '100' },
    },
  })
  await Promise.all(clockErrorsMs.map((clockErrorMs) => fleet.add({ clockErrorMs })))
  const traffic = startTraffic(() => fleet.servers, receiver.url)
  const accepted = async (more: number) => {
    const wanted = traffic.accepted.size + more
    await until(`${more} more are accepted`, () => traffic.accepted.size >= wanted)
  }
  await accepted(30)
  return { redis, proxy, fleet, traffic, received, accepted }
}

/**
 * Ends the traffic, waits until nothing is left to deliver, and checks that each accepted message came to its end, none
 * before it was due, and again only as a further claim or attempt.
 */
async function expectAllWell({ redis: { client }, fleet, traffic, received }: Scene): Promise<void> {
  await traffic.stop()
  const keys = keysOf(0, fleet.namespace)
  await until('nothing is left to deliver', async () => {
    await traffic.pull()
    return (await client.hlen(keys.messages)) === (await client.zcard(keys.dead))
  })
  const streamed = (await client.xrange(`${keys.streamPrefix}traffic`, '-', '+')).map(
    ([at, [, id = '']]) => ({ id, at: Number(at.split('-')[0]), nth: 0 }),
  )
  const came = {
    console: fleet
      .delivered()
      .map(({ messageId, attempt, seenAt }) => ({ id: messageId, at: seenAt, nth: attempt })),
    webhook: received.map(({ headers, seenAt }) => ({
      ...{ id: String(headers['webhook-id']), at: seenAt, nth: Number(headers['carillon-claim']) },
    })),
    stream: streamed,
    pull: traffic.pulls.map(({ id, at, claim }) => ({ id, at, nth: claim })),
  }
  for (const [id, { dueAt, to }] of traffic.accepted) {
    const mine = came[to === 'failing webhook' ? 'webhook' : to].filter((each) => each.id === id)
    const outcome = (await client.hget(keys.history, id))?.split(' ')[0]
    const isDead = (await client.zscore(keys.dead, id)) !== null
    expect([id, to, outcome ?? (isDead && to === 'failing webhook' ? 'dead' : 'lost')]).toEqual([
      ...[id, to],
      isDead ? 'dead' : 'delivered',
    ])
    expect(mine.length).toBeGreaterThan(0)
    for (const { at } of mine) expect(at).toBeGreaterThanOrEqual(dueAt)
    expect(new Set(mine.map(({ nth }) => nth)).size).toBe(mine.length)
  }
}

it('requests to Redis that stall for longer than a lock lasts, and then replies, lose nothing', async () => {
  const scene = await setScene()
  for (const direction of ['requests', 'replies'] as const) {
    scene.proxy.stall(direction)
    await pause(FAULT_MS)
    scene.proxy.flow()
    await scene.accepted(30)
  }
  await expectAllWell(scene)
})

it('answers that come after the lock has ended, and cuts in the middle of any call, lose nothing', async () => {
  const scene = await setScene()
  scene.proxy.delay(LOCK_TTL_MS * 0.6) // there, and back
  await pause(FAULT_MS)
  scene.proxy.delay(0)
  await scene.accepted(30)
  scene.proxy.cutAtRandom(6_000)
  await until('it has cut often', () => scene.proxy.cuts >= 25)
  scene.proxy.cutAtRandom(null)
  await scene.accepted(30)
  await expectAllWell(scene)
})

/**
 * A redis-server whose writes fail, as on a full disk, once its files may not grow: it would end by the signal that
 * comes with that, unless whoever starts it ignores that signal.
 */
async function startedToIgnoreLimits(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'carillon-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'redis-server')
  await writeFile(path, `#!/bin/sh\ntrap '' XFSZ\nexec '${inject('redisServer')}' "$@"\n`, { mode: 0o700 })
  return path
}

/** Where there is no prlimit, as on macOS, a disk cannot be made to look full. */
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0

if (hasPrlimit)
  it('a Redis that cannot write to its disk takes nothing, and all goes on by itself once it can', async () => {
    const redisServer = await startedToIgnoreLimits()
    // Told to write at every call, it would end by the first that fails; so it goes on and says so.
    const scene = await setScene({ redisServer, args: ['--appendfsync', 'everysec'] })
    const { client } = scene.redis
    const pid = /process_id:(\d+)/.exec(await client.info('server'))?.[1] ?? ''
    const limit = (bytes: string) => {
      const { status, stderr } = spawnSync('prlimit', ['--pid', pid, `--fsize=${bytes}:`], {
        encoding: 'utf8',
      })
      expect([status, stderr]).toEqual([0, ''])
    }
    limit('1')
    await until('Redis says so', async () =>
      (await client.info('persistence')).includes('aof_last_write_status:err'),
    )
    const answer = await scene.fleet.servers[0]?.call('POST', '/v1/messages', { payload: 1, delay: '1h' })
    expect(answer?.status).toBe(503)
    await pause(FAULT_MS)
    limit('unlimited')
    await scene.accepted(30)
    await expectAllWell(scene)
  })

it('a clock of Redis that is set back by an hour, and servers whose own are wrong, hold nothing up', async () => {
  const scene = await setScene({}, [HOUR_MS, -HOUR_MS])
  const { fleet, redis } = scene
  const [first, second] = fleet.servers as [Service, Service]
  const keys = keysOf(0, fleet.namespace)
  // A server that dies with claims in hand, and the clock at the same time.
  first.signal('SIGSTOP')
  await until('it holds claims, or the other does', async () => (await redis.client.zcard(keys.claimed)) > 0)
  await setClockBack(redis.client, fleet.namespace, HOUR_MS)
  await first.end('SIGKILL')
  await scene.accepted(30)
  await until('the dead server is forgotten', async () => {
    const { body } = await second.call<{ servers: unknown[] }>('GET', '/v1/stats')
    return body.servers.length === 1
  })
  await expectAllWell(scene)
})
