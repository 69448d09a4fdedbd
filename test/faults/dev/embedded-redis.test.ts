import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import {
  type EmbeddedRedis,
  type EmbeddedRedisOptions,
  startEmbeddedRedis,
} from '../../../src/dev/embedded-redis.ts'
import { openLocked } from '../../../src/dev/lock.js'
import { startChild } from '../../support/children.ts'
import { until } from '../../support/until.ts'
import { compileService } from './compile-service.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const CACHE = join(ROOT, '.cache')

let compiled: string
let folder: string
let dataDir: string
const children: ChildProcess[] = []
const connections: Redis[] = []
const dataDirs: string[] = []

beforeAll(() => {
  compiled = compileService(ROOT, CACHE)
})

afterAll(() => {
  rmSync(compiled, { recursive: true, force: true })
})

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'carillon-embedded-'))
  dataDir = join(folder, 'data')
  dataDirs.push(dataDir)
})

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.disconnect()
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const dir of dataDirs.splice(0)) {
    const pid = holderOf(dir)
    if (pid !== undefined) {
      process.kill(pid, 'SIGKILL')
      await until('it has ended', () => holderOf(dir) === undefined)
    }
  }
  for (const pid of livingIn(folder)) process.kill(pid, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const start = (more: Partial<EmbeddedRedisOptions> = {}) =>
  startEmbeddedRedis({ dataDir, cacheDir: CACHE, log: () => {}, ...more })

/** The redis-server that keeps the data directory, as nobody else may. */
function holderOf(dir: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(dir, 'redis.pid'), 'utf8'))
    const free = openLocked(join(dir, 'redis.pid'))
    if (free === undefined) return pid
    closeSync(free)
  } catch {
    // never started
  }
  return undefined
}

/** Servers that broken code started without a hold on their directory: only there could they be working. */
function livingIn(path: string): number[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readlinkSync(`/proc/${pid}/cwd`).startsWith(`${path}/`)
      } catch {
        return false // ended, or not ours to look at
      }
    })
}

function connect({ socketPath }: Pick<EmbeddedRedis, 'socketPath'>, connectionName?: string): Redis {
  const redis = new Redis({
    path: socketPath,
    protocol: 2,
    retryStrategy: () => null,
    enableReadyCheck: false, // what startEmbeddedRedis says runs is not asked again
    ...(connectionName ? { connectionName } : {}),
  })
  redis.on('error', () => {})
  connections.push(redis)
  return redis
}

/** A service in a process of its own, leading a process group as in a terminal, once its Redis answers. */
async function otherService(): Promise<{ process: ChildProcess; socketPath: string }> {
  const service = startChild(process.execPath, [join(compiled, 'service.js'), dataDir, CACHE], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  children.push(service)
  const [socketPath] = await once(service.stdout, 'data')
  return { process: service, socketPath: String(socketPath) }
}

async function processId(redis: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1])
}

const startsLogged = () =>
  readFileSync(join(dataDir, 'redis.log'), 'utf8').match(/Server initialized/g)?.length

it('keeps what was written when it is stopped and started, and is gone in between', async () => {
  const first = await start()
  const client = connect(first)
  await client.set('message', 'kept')
  client.disconnect()
  await first.stop()
  expect(holderOf(dataDir)).toBeUndefined()
  await expect(first.ensureRunning()).rejects.toThrow('has stopped its embedded Redis')
  expect(holderOf(dataDir)).toBeUndefined()

  const second = await start()
  expect(await connect(second).get('message')).toBe('kept')
})

it('syncs every write, refuses rather than evicts, and lets nobody but its user in', async () => {
  const redis = await start()
  const client = connect(redis)
  const settings: Record<string, string> = {}
  for (const name of [
    'appendonly',
    'appendfsync',
    'save',
    'maxmemory-policy',
    'port',
    'no-appendfsync-on-rewrite',
  ]) {
    const [, value] = (await client.config('GET', name)) as [string, string]
    settings[name] = value
  }
  expect(settings).toEqual({
    appendonly: 'yes',
    appendfsync: 'always',
    save: '',
    'maxmemory-policy': 'noeviction',
    port: '0',
    'no-appendfsync-on-rewrite': 'no',
  })
  expect(statSync(redis.socketPath).mode & 0o777).toBe(0o700)
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
})

it('outlives a service that is killed, and its whole process group, and is taken over by the next', async () => {
  const service = await otherService()
  const before = connect(service)
  await before.set('message', 'kept')
  const pid = await processId(before)
  const gone = once(service.process, 'exit')
  if (service.process.pid) process.kill(-service.process.pid, 'SIGKILL')
  await gone

  const next = await start()
  const client = connect(next)
  expect(await processId(client)).toBe(pid)
  expect(await client.get('message')).toBe('kept')
})

it('is started once by services that start at the same moment', async () => {
  const services = await Promise.all([otherService(), otherService(), start(), start()])
  const pids = await Promise.all(services.map((service) => processId(connect(service))))
  expect(new Set(pids)).toEqual(new Set([holderOf(dataDir)]))
  expect(startsLogged()).toBe(1)
})

it('is left to another Carillon service that is connected, and to nobody else', async () => {
  const redis = await start()
  const other = connect(redis, 'carillon-worker')
  connect(redis, 'somebody-else')
  await Promise.all(connections.map((connection) => connection.ping()))
  const lines: string[] = []
  const leaving = await start({ log: (line) => lines.push(line) })
  await leaving.stop()
  expect(lines).toEqual(['leaving Redis running: another Carillon service uses it'])
  expect(await other.ping()).toBe('PONG')

  other.disconnect()
  await redis.stop()
  expect(holderOf(dataDir)).toBeUndefined()
})

it('is started again, once and with its data, after it was killed', async () => {
  const redis = await start()
  const client = connect(redis)
  await client.set('message', 'kept')
  const killed = await processId(client)
  const lost = once(client, 'close')
  process.kill(killed, 'SIGKILL')
  await lost

  await Promise.all([redis.ensureRunning(), redis.ensureRunning(), redis.ensureRunning()])
  const again = connect(redis)
  expect(await processId(again)).not.toBe(killed)
  expect(await again.get('message')).toBe('kept')
  expect(startsLogged()).toBe(2)
})

it('answers with all of its data as soon as it is said to run', async () => {
  const redis = await start()
  const client = connect(redis)
  await client.eval("for i = 1, 300000 do redis.call('SET', 'key:' .. i, i) end", 0)
  const pid = await processId(client)
  const lost = once(client, 'close')
  process.kill(pid, 'SIGKILL')
  await lost
  await redis.ensureRunning()
  expect(await connect(redis).dbsize()).toBe(300_000)
})

it('runs in a data directory whose path is too long for a socket', async () => {
  dataDir = join(folder, 'a long path '.repeat(10), 'data')
  dataDirs.push(dataDir)
  const redis = await start()
  const short = dirname(dirname(redis.socketPath))
  try {
    expect(Buffer.byteLength(redis.socketPath)).toBeLessThanOrEqual(103)
    expect(await connect(redis).ping()).toBe('PONG')
    const elsewhere = vi.stubEnv('TMPDIR', '/tmp/../tmp')
    expect(await processId(connect(await start()))).toBe(holderOf(dataDir))
    elsewhere.unstubAllEnvs()

    rmSync(short, { recursive: true })
    await redis.ensureRunning()
    expect(await connect(redis).ping()).toBe('PONG')

    chmodSync(short, 0o755)
    await expect(start()).rejects.toThrow('is not a private folder of this user')
  } finally {
    rmSync(short, { recursive: true, force: true })
  }
})

it('wakes a redis-server that was stopped by a signal', async () => {
  const redis = await start()
  const pid = await processId(connect(redis))
  process.kill(pid, 'SIGSTOP')
  await redis.ensureRunning()
  expect(await processId(connect(redis))).toBe(pid)
})

/** A process that keeps the data directory without listening: one that is just leaving, or hangs. */
function keeper(): ChildProcess {
  mkdirSync(dataDir, { recursive: true })
  const fd = openLocked(join(dataDir, 'redis.pid'))
  const child = startChild('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
  children.push(child)
  if (fd !== undefined) closeSync(fd)
  writeFileSync(join(dataDir, 'redis.pid'), String(child.pid))
  return child
}

it('waits for one that is just leaving to be gone before it starts the next', async () => {
  const leaving = keeper()
  let saidToWait = () => {}
  const waits = new Promise<void>((resolve) => {
    saidToWait = resolve
  })
  const starting = start({ log: () => saidToWait() })
  await waits
  expect(() => readFileSync(join(dataDir, 'redis.log'))).toThrow('ENOENT')
  leaving.kill('SIGKILL')
  expect(await connect(await starting).ping()).toBe('PONG')
})

it('tells the process to end when one keeps the data directory and never answers', async () => {
  const hung = keeper()
  await expect(start({ timeoutMs: 100 })).rejects.toThrow(
    `redis-server (pid ${hung.pid}) on ${dataDir} has not answered`,
  )
})
