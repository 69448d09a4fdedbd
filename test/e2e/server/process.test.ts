import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { refusedStart, type Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

/** What `npm run key` runs. */
const runKey = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, ['dist/dev/make-key.js', ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })

const printed = ({ stdout }: { stdout: string }) => ({
  key: /^ {2}(carillon_\S+)$/m.exec(stdout)?.[1] ?? '',
  entry: /^ {2}(\S+:[0-9a-f]{64}:\S+)$/m.exec(stdout)?.[1] ?? '',
})

describe('a bad setting', () => {
  it.each([
    ['PORT', '70000', /^carillon: PORT is "70000"; allowed: .*0 to 65535\n$/],
    ['LOCK_TTL_MS', '30s', /^carillon: LOCK_TTL_MS is "30s"; allowed: .*1000 to/],
    ['LOG_LEVEL', 'loud', /^carillon: LOG_LEVEL is "loud"; allowed: one of fatal, error/],
    ['ROLES', 'api,boss', /^carillon: ROLES is "api,boss"; allowed: api, worker or both/],
    [
      'REDIS_URL',
      'http://:secret@x',
      /^carillon: REDIS_URL is "http:\/\/\*\*\*@x" \(it does not begin with .*\); allowed: redis:\/\//,
    ],
    ['API_KEYS', 'ci:secret:write', /^carillon: API_KEYS cannot be used.*entry 1 has no SHA-256/],
    ['HOST', '0.0.0.0', /^carillon: HOST is "0.0.0.0", .*API_KEYS.*ALLOW_OPEN=true.*\n$/],
  ])('%s=%s ends the start with 1 and one line', async (name, value, line) => {
    const { code, stderr } = await refusedStart({ [name]: value })
    expect(code).toBe(1)
    expect(stderr).toMatch(line)
    expect(stderr.trimEnd()).not.toContain('\n')
    expect(stderr).not.toContain('secret')
  })

  it('is named when it is no address of this machine', async () => {
    const { code, stderr } = await refusedStart({ HOST: '203.0.113.7', ALLOW_OPEN: 'true' })
    expect(code).toBe(1)
    expect(stderr).toBe('carillon: HOST is "203.0.113.7", which is not an address of this machine\n')
  })

  it('is named when another program holds the port', async () => {
    const fleet = await startFleet({ size: 1 })
    const port = new URL(fleet.servers[0]?.url ?? '').port
    const { code, stderr } = await refusedStart({ PORT: port, NAMESPACE: fleet.namespace })
    expect(code).toBe(1)
    expect(stderr).toBe(
      `carillon: PORT is ${port}, which another program on 127.0.0.1 is using; set another PORT\n`,
    )
  })
})

describe('the door', () => {
  const ALLOW_OPEN_LINE = /^ALLOW_OPEN is true and API_KEYS is not set: .* everyone who can reach 0\.0\.0\.0$/
  const linesOf = ({ log }: Service) => log.map(({ level, msg }) => [level, msg])

  it('is open with a warning where ALLOW_OPEN=true', async () => {
    const fleet = await startFleet({ size: 1, env: { HOST: '0.0.0.0', ALLOW_OPEN: 'true' } })
    const [server] = fleet.servers as [Service]
    const warned = () => linesOf(server).filter(([, msg]) => ALLOW_OPEN_LINE.test(String(msg)))
    await until('the warning', () => warned().length > 0)
    expect(warned()).toEqual([[40, expect.any(String)]])
    expect((await server.post(Date.now() + 60_000, 'x')).status).toBe(200)
  })

  it('is open to this machine by default, and says so without a warning', async () => {
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    const line = [30, expect.stringMatching(/^API_KEYS is not set/)]
    await until('the line', () => linesOf(server).some(([, msg]) => /API_KEYS/.test(String(msg))))
    expect(linesOf(server).filter(([, msg]) => /API_KEYS/.test(String(msg)))).toEqual([line])
  })

  it('is shut but for the key that `npm run key` made, on every address', async () => {
    const { key, entry } = printed(await runKey('ci', 'write'))
    const fleet = await startFleet({ size: 1, env: { HOST: '0.0.0.0', API_KEYS: entry } })
    const [server] = fleet.servers as [Service]
    const post = (authorization: string) =>
      fetch(`${server.url}/echoAtTime`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization },
        body: JSON.stringify({ time: Date.now() + 60_000, message: 'x' }),
      })
    expect((await post(`Bearer ${key}x`)).status).toBe(401)
    expect((await post(`Bearer ${key}`)).status).toBe(200)
    for (const path of ['/', '/health', '/docs', '/openapi.json']) {
      expect((await fetch(server.url + path)).status).toBe(200)
    }
    expect((await fetch(`${server.url}/v1/messages`)).status).toBe(401)
    expect(JSON.stringify(server.log)).not.toContain(key)
  })

  it('lets no key through more often than RATE_LIMIT_PER_MINUTE', async () => {
    const fleet = await startFleet({ size: 1, env: { RATE_LIMIT_PER_MINUTE: '1' } })
    const [server] = fleet.servers as [Service]
    expect((await server.post(Date.now() + 60_000, 'x')).status).toBe(200)
    expect((await server.post(Date.now() + 60_000, 'x')).status).toBe(429)
    expect((await server.get('/health')).status).toBe(200)
  })
})

describe('npm run key', () => {
  it.each(['read', 'write', 'read+write'])('prints both halves of a key for %s', async (scopes) => {
    const answer = await runKey('ci.1', scopes)
    expect(answer).toMatchObject({ code: 0, stderr: '' })
    const { key, entry } = printed(answer)
    expect(entry).toBe(`ci.1:${createHash('sha256').update(key).digest('hex')}:${scopes}`)
  })

  it.each([
    [],
    ['ci'],
    ['ci', 'admin'],
    ['ci', ''],
    ['c i', 'read'],
    ['a,b', 'read'],
    ['a:b', 'read'],
    ['ci', 'read', 'write'],
  ])('%j %j is answered with how to use it, and exit code 1', async (...args) => {
    const { code, stdout, stderr } = await runKey(...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^usage: npm run key -- NAME SCOPES\n/)
  })
})

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s ends an idle server with 0', async (signal) => {
    const fleet = await startFleet({ size: 1 })
    expect(await fleet.servers[0]?.end(signal)).toBe(0)
  })
})

describe('SIGTERM while Redis does not answer yet', () => {
  it('ends the start with 0', async () => {
    const redis = await startRedis()
    redis.signal('SIGSTOP')
    const fleet = await startFleet({ size: 0 })
    const starting = fleet.add({ env: { REDIS_URL: redis.url } })
    const server = await starting
    expect(await server.end('SIGTERM')).toBe(0)
    redis.signal('SIGCONT')
    await redis.stop()
  })
})

describe('fewer shards than before', () => {
  it('are refused, as the messages of the rest would never come', async () => {
    const fleet = await startFleet({ size: 1, env: { SHARDS: '3' } })
    const { code, stderr } = await refusedStart({
      REDIS_URL: inject('redisUrl'),
      NAMESPACE: fleet.namespace,
      SHARDS: '2',
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: SHARDS is 2, but .* 3 shards.*SHARDS=3\n$/)
  })
})

describe('a Redis', () => {
  let redis: TestRedis
  beforeEach(async () => {
    redis = await startRedis()
  })
  afterEach(() => redis.stop())

  it('is refused when it may evict, with a line that says what to set', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const { code, stderr } = await refusedStart({ REDIS_URL: redis.url })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^carillon: Redis's maxmemory-policy is allkeys-lru.*noeviction.*ALLOW_EVICTION=true.*\n$/,
    )
  })

  it('is accepted with a warning when it may evict and ALLOW_EVICTION=true', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: { ALLOW_EVICTION: 'true' } })
    expect(fleet.servers[0]?.log.map((line) => line.msg)).toContainEqual(expect.stringMatching(/allkeys-lru/))
  })

  it('is reported when it starts to evict while servers run, and they go on', async () => {
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await expect
      .poll(() => server?.log.map((line) => line.msg))
      .toContainEqual(expect.stringMatching(/allkeys-lru/))
    await expect.poll(async () => (await server?.get('/health'))?.status).toBe(200)
    expect(server?.hasEnded()).toBe(false)
  })

  it('is refused when it lacks the database that REDIS_URL names', async () => {
    const { code, stderr } = await refusedStart({ REDIS_URL: `${redis.url}/99` })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: REDIS_URL names database 99, which this Redis does not have/)
  })

  it('is used with a warning when the user may not ask for INFO', async () => {
    await redis.client.call('ACL', 'SETUSER', 'shy', 'on', '>pw', '~*', '&*', '+@all', '-info')
    const fleet = await startFleet({ size: 1, redisUrl: redis.url.replace('redis://', 'redis://shy:pw@') })
    expect(fleet.servers[0]?.log.map((line) => line.msg)).toContainEqual(
      expect.stringMatching(/refuses INFO/),
    )
    await fleet.untilDelivered(await fleet.schedule(1, Date.now()))
  })

  it('is warned of when it has no persistence', async () => {
    await redis.client.config('SET', 'appendonly', 'no')
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    expect(fleet.servers[0]?.log.map((line) => line.msg)).toContainEqual(
      expect.stringMatching(/append-only file is off/),
    )
  })

  it('is reported as wanting another password', async () => {
    await redis.client.config('SET', 'requirepass', 'right')
    const { code, stderr } = await refusedStart({
      REDIS_URL: redis.url.replace('redis://', 'redis://:wrong@'),
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: Redis refused the credentials in REDIS_URL/)
    expect(stderr).not.toContain('wrong@')
  })
})
