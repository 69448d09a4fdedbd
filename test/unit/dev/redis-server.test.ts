import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { findRedisServer } from '../../../src/dev/redis-server.js'
import { readVersion } from '../../../src/dev/redis-version.js'

const HAS_APT =
  process.env.PATH?.split(delimiter).some((folder) => namesIn(folder).includes('apt-get')) ?? false
let folder: string
let lines: string[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'carillon-redis-server-'))
  lines = []
})

afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

const find = (cacheDir = join(folder, 'cache')) =>
  findRedisServer({ cacheDir, log: (line) => lines.push(line) })

function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** Everything on PATH except a redis-server. */
function pathWithoutRedis(): string {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const taken = new Set(['redis-server', 'valkey-server'])
  for (const directory of process.env.PATH?.split(delimiter) ?? []) {
    for (const name of namesIn(directory)) {
      if (!taken.has(name)) symlinkSync(join(directory, name), join(bin, name))
      taken.add(name)
    }
  }
  return bin
}

/** A PATH on which these servers, and nothing else, answer --version. */
function pathWith(servers: Record<string, string>): string {
  const bin = join(folder, 'servers')
  mkdirSync(bin)
  for (const [name, version] of Object.entries(servers)) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 })
  }
  return bin
}

describe('readVersion', () => {
  it.each([
    ['Redis server v=7.0.0 sha=00000000:0 malloc=libc', 'Redis', '7.0.0', true],
    ['Redis server v=6.2.18 sha=00000000:0 malloc=libc', 'Redis', '6.2.18', false],
    ['Redis server v=10.1.0 sha=00000000:0 malloc=libc', 'Redis', '10.1.0', true],
    ['Valkey server v=8.1.1 sha=00000000:0 malloc=libc', 'Valkey', '8.1.1', true],
    ['Server v=7.2.0 sha=00000000:0 malloc=libc', 'Valkey', '7.2.0', true],
    ['Server v=7.1.9 sha=00000000:0 malloc=libc', 'Valkey', '7.1.9', false],
  ])('reads %s', (text, label, version, supported) => {
    expect(readVersion(text)).toEqual({ label, version, supported })
  })

  it('does not take another program for a server', () => {
    expect(readVersion('redis-cli 7.0.15')).toBeUndefined()
  })
})

describe('findRedisServer', () => {
  it('takes the one on PATH and says nothing', async () => {
    const bin = pathWith({
      'redis-server': 'Redis server v=7.0.15 sha=0:0',
      'valkey-server': 'Server v=8.0.0',
    })
    vi.stubEnv('PATH', bin)
    expect(await find()).toBe(join(bin, 'redis-server'))
    expect(lines).toEqual([])
  })

  it('passes over one that is too old, with a line that says so', async () => {
    const bin = pathWith({
      'redis-server': 'Redis server v=6.0.16 sha=0:0',
      'valkey-server': 'Server v=7.2.5',
    })
    vi.stubEnv('PATH', bin)
    expect(await find()).toBe(join(bin, 'valkey-server'))
    expect(lines).toEqual([expect.stringMatching(/skipping .*redis-server: Redis 6\.0\.16 is too old/)])
  })

  it('says in one line what to install where there is nothing to fetch with', async () => {
    vi.stubEnv('PATH', pathWith({}))
    const error = await find().catch((reason: Error) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(String(error)).toMatch(/install Redis 7 or newer \(.+\) or set REDIS_URL/)
    expect(String(error)).not.toContain('\n')
  })

  it.runIf(HAS_APT)(
    'fetches one once that works from wherever it lies, over what was left half done',
    async () => {
      vi.stubEnv('PATH', pathWithoutRedis())
      const cache = join(folder, 'a cache')
      mkdirSync(join(cache, 'redis', 'fetch-1', 'half'), { recursive: true })
      mkdirSync(join(cache, 'redis', 'redis', 'usr'), { recursive: true })

      const both = await Promise.all([find(cache), find(cache)])
      expect(both[0]).toBe(both[1])
      expect(lines.filter((line) => line.startsWith('fetching'))).toHaveLength(1)
      expect(readdirSync(join(cache, 'redis'))).toHaveLength(1)

      const moved = join(folder, 'moved')
      renameSync(cache, moved)
      lines = []
      const path = await find(moved)
      expect(lines).toEqual([])
      const version = execFileSync(path, ['--version'], { cwd: '/', encoding: 'utf8' })
      expect(readVersion(version)?.supported).toBe(true)
    },
    60_000,
  )
})
