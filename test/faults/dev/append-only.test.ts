import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { startEmbeddedRedis } from '../../../src/dev/embedded-redis.ts'

vi.setConfig({ testTimeout: 60_000 })

const CACHE = fileURLToPath(new URL('../../../.cache', import.meta.url))
const INCREMENT = 'appendonly.aof.1.incr.aof'
const BASE = 'appendonly.aof.1.base.rdb'
const MANIFEST = 'appendonly.aof.manifest'

let folder: string
let whole: string
let dataDir: string
const fileOf = (name: string) => join(dataDir, 'appendonlydir', name)

/** Starts a redis-server on the data, and stops it with the test at the latest. */
async function start(dir = dataDir) {
  const lines: string[] = []
  const redis = await startEmbeddedRedis({ dataDir: dir, cacheDir: CACHE, log: (line) => lines.push(line) })
  return { lines, redis }
}

async function ask<T>(socketPath: string, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ path: socketPath, protocol: 2 })
  try {
    return await question(client)
  } finally {
    client.disconnect()
  }
}

/** What is there once it has started, and what it said about it. */
async function valuesAfterStart() {
  const { lines, redis } = await start()
  try {
    return { lines, values: await ask(redis.socketPath, (client) => client.mget('a', 'b', 'c', 'd')) }
  } finally {
    await redis.stop()
  }
}

/** The one line with which it refuses to start. */
async function refusal(): Promise<string> {
  const reason = await start().then(
    ({ redis }) => redis.stop().then(() => 'it started'),
    (error: Error) => error.message,
  )
  expect(reason).not.toContain('\n')
  return reason
}

const copies = () => readdirSync(join(dataDir, 'appendonlydir')).filter((name) => name.includes('.damaged-'))

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'carillon-append-only-'))
  whole = join(folder, 'whole')
  const { redis } = await start(whole)
  await ask(redis.socketPath, async (client) => {
    await client.set('a', '1')
    await client.multi().set('b', '2').set('c', 'x'.repeat(3_000)).exec()
    await client.set('d', '4')
  })
  await redis.stop()
}, 60_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

beforeEach(() => {
  dataDir = mkdtempSync(join(folder, 'data-'))
  cpSync(whole, dataDir, { recursive: true })
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
})

const ALL = ['1', '2', 'x'.repeat(3_000), '4']
const bytes = () => readFileSync(fileOf(INCREMENT))
/** Where a command begins, by what stands in it. */
const at = (text: string) => bytes().lastIndexOf('*', bytes().indexOf(text))

describe('an append-only file that a power cut has left with an end that is no command', () => {
  it.each([
    ['one zero', Buffer.alloc(1), ALL],
    ['zeros', Buffer.alloc(4_096), ALL],
    ['more zeros than are read at once', Buffer.alloc(1_500_000), ALL],
    ['garbage', Buffer.from([0xff, 0x0d, 0x0a, 0x2a, 0x33, 0x0d, 0x0a, 0x24, 0x00]), ALL],
    [
      'a torn command, and zeros',
      Buffer.from(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$900\r\n{"pay${'\0'.repeat(2_000)}`),
      ALL,
    ],
    [
      'a torn transaction, and zeros',
      Buffer.from(
        `*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n9\r\n*3\r\n$3\r\nSET\r\n${'\0'.repeat(2_000)}`,
      ),
      ALL,
    ],
  ])('is cut there, told in one line, and kept as it was: %s', async (_what, tail, expected) => {
    const before = bytes()
    appendFileSync(fileOf(INCREMENT), tail)
    const damaged = bytes()
    const { lines, values } = await valuesAfterStart()
    expect(values).toEqual(expected)
    const [copy = ''] = copies()
    expect(lines).toEqual([
      `${INCREMENT} ended in ${tail.length} bytes that are not a command, as after a power failure; ` +
        `they were cut off, and the original is kept as ${fileOf(copy)}`,
    ])
    expect(readFileSync(fileOf(copy)).equals(damaged)).toBe(true)
    expect(bytes().subarray(0, before.length).equals(before)).toBe(true)
    // The next start finds nothing to do, nor does the copy stand in its way.
    expect(await valuesAfterStart()).toEqual({ lines: [], values: expected })
  })

  it('loses no more than the write that was cut, where zeros are in place of its end', async () => {
    const file = bytes()
    file.fill(0, at('$1\r\nd') + 20)
    writeFileSync(fileOf(INCREMENT), file)
    expect((await valuesAfterStart()).values).toEqual(['1', '2', 'x'.repeat(3_000), null])
  })

  it('is read as Redis does where it only is too short, without a word of ours', async () => {
    truncateSync(fileOf(INCREMENT), bytes().length - 3)
    expect(await valuesAfterStart()).toEqual({ lines: [], values: ['1', '2', 'x'.repeat(3_000), null] })
  })
})

describe('data that are damaged otherwise', () => {
  it('are named, and stay as they are: zeros in place of all there ever was', async () => {
    const zeros = Buffer.alloc(bytes().length)
    writeFileSync(fileOf(INCREMENT), zeros)
    expect(await refusal()).toContain(`${INCREMENT} is damaged at byte 0 of ${zeros.length}`)
    expect(bytes().equals(zeros)).toBe(true)
  })

  it('are named, and stay as they are: a hole in the middle', async () => {
    const file = bytes()
    const from = at('$1\r\nb')
    file.fill(0, from + 30, from + 60)
    writeFileSync(fileOf(INCREMENT), file)
    expect(await refusal()).toMatch(
      new RegExp(
        `^${fileOf(INCREMENT)} is damaged at byte \\d+ of ${file.length}, not only at its end: ` +
          'restore a backup of .*truncate -s',
      ),
    )
    expect(bytes().equals(file)).toBe(true)
    expect(copies()).toEqual([])
  })

  it.each([
    ['a base that is none', 'NOTRDB', /appendonlydir\/\*\.base\.rdb\) is damaged: restore a backup/],
    [
      'a base of a newer Redis',
      'REDIS9999',
      /written by a newer Redis: put that version or a newer one on PATH/,
    ],
  ])('are named: %s', async (_what, start, expected) => {
    const base = readFileSync(fileOf(BASE))
    base.write(start, 0, 'latin1')
    writeFileSync(fileOf(BASE), base)
    const reason = await refusal()
    expect(reason).toMatch(/^redis-server exited during startup \(exit code 1\); in \/.*redis\.log\)$/)
    expect(reason).toMatch(expected)
    expect(reason).not.toMatch(/overcommit|redis-check/)
    expect(readFileSync(fileOf(BASE)).equals(base)).toBe(true)
  })

  it.each([
    ['a manifest that is gone', () => rmSync(fileOf(MANIFEST)), 'is missing'],
    ['a manifest that is empty', () => writeFileSync(fileOf(MANIFEST), ''), 'is damaged'],
    ['a manifest of zeros', () => writeFileSync(fileOf(MANIFEST), Buffer.alloc(99)), 'is damaged'],
    ['a manifest that is nonsense', () => writeFileSync(fileOf(MANIFEST), 'nonsense\n'), 'is damaged'],
  ])('are never taken for none, and can be found again as they say: %s', async (_what, damage, what) => {
    const manifest = readFileSync(fileOf(MANIFEST), 'utf8')
    damage()
    const reason = await refusal()
    expect(reason).toMatch(
      `${fileOf(MANIFEST)} ${what}, but there are data files: restore it from a backup, or write it again`,
    )
    const lines = /follow from the files: (.*)$/.exec(reason)?.[1]?.split(', ') ?? []
    expect(lines).toEqual([`file ${BASE} seq 1 type b`, `file ${INCREMENT} seq 1 type i`])
    expect(manifest).toContain(lines.join('\n'))
    writeFileSync(fileOf(MANIFEST), `${lines.join('\n')}\n`)
    expect((await valuesAfterStart()).values).toEqual(ALL)
  })

  it.each([BASE, INCREMENT])('are named: %s is gone', async (name) => {
    renameSync(fileOf(name), join(dataDir, 'elsewhere'))
    expect(await refusal()).toBe(
      `${fileOf(name)} is missing, but the manifest names it: restore it from a backup of ${dataDir}`,
    )
  })

  it('are not passed over: a snapshot without an append-only file', async () => {
    rmSync(join(dataDir, 'appendonlydir'), { recursive: true })
    writeFileSync(join(dataDir, 'dump.rdb'), 'REDIS0011')
    expect(await refusal()).toMatch(`${join(dataDir, 'dump.rdb')} exists, but no append-only file`)
  })

  it('need no manifest where there are none', async () => {
    rmSync(join(dataDir, 'appendonlydir'), { recursive: true })
    mkdirSync(join(dataDir, 'appendonlydir'))
    expect((await valuesAfterStart()).values).toEqual([null, null, null, null])
  })
})

it('a disk that is full is the reason that is told', async () => {
  symlinkSync('/dev/full', join(dataDir, 'probe'))
  expect(await refusal()).toBe(`${dataDir} cannot be written: the disk is full; free some space and restart`)
})
