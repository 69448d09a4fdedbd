import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createConsoleSender } from '../../../../src/destinations/console/console.ts'
import { createStdout } from '../../../../src/destinations/console/stdout.ts'
import type { Delivery } from '../../../../src/destinations/delivery.ts'
import { createTerminalFormat } from '../../../../src/server/logger.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'carillon-test-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

/** A pipe whose reader does nothing until it is told to. */
function openPipe() {
  const path = join(dir, 'pipe')
  execFileSync('mkfifo', [path])
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writeEnd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  const readAll = () => {
    const bytes = Buffer.alloc(1_048_576)
    try {
      return readSync(readEnd, bytes)
    } catch {
      return 0
    }
  }
  return { readEnd, writeEnd, readAll }
}

const delivery = (id: string, payload: unknown): Delivery => ({
  id,
  shard: 0,
  token: 't',
  claim: 1,
  dueAt: 1_000,
  attemptDueAt: 1_000,
  lateMs: 3,
  attempt: 2,
  payload: JSON.stringify(payload),
  destination: { type: 'console' },
  lane: '',
})
const never = new AbortController().signal
const whenever = Number.POSITIVE_INFINITY

describe('standard output', () => {
  it('writes in the order of the calls', async () => {
    const path = join(dir, 'file')
    const fd = openSync(path, 'w')
    const stdout = createStdout(fd)
    const results = await Promise.all(Array.from({ length: 200 }, (_, i) => stdout.write(`${i}\n`)))
    expect(new Set(results)).toEqual(new Set(['written']))
    expect(readFileSync(path, 'utf8')).toBe(Array.from({ length: 200 }, (_, i) => `${i}\n`).join(''))
    closeSync(fd)
  })

  it('waits for a reader that has stopped reading, without blocking, and drops what is too old by then', async () => {
    const { readEnd, writeEnd, readAll } = openPipe()
    const stdout = createStdout(writeEnd)
    const large = stdout.write(`${'x'.repeat(300_000)}\n`)
    const old = stdout.write('old\n', performance.now() + 20)
    const abandoned = new AbortController()
    const unwanted = stdout.write('unwanted\n', whenever, abandoned.signal)
    // Told in time, though the write before them hangs: the event loop is free.
    expect(await old).toBe('not begun')
    abandoned.abort()
    expect(await unwanted).toBe('not begun')
    let read = 0
    while (read < 300_001) {
      read += readAll()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await large).toBe('written')
    closeSync(readEnd)
    closeSync(writeEnd)
  })

  it('says so when its reader is gone, and goes on', async () => {
    const { readEnd, writeEnd } = openPipe()
    closeSync(readEnd)
    const stdout = createStdout(writeEnd)
    expect(await stdout.write('x\n')).toMatchObject({ code: 'EPIPE' })
    expect(await stdout.write('y\n')).toMatchObject({ code: 'EPIPE' })
    await stdout.drain()
    closeSync(writeEnd)
  })

  it('tells once that it cannot be written, and nothing of a reader that is gone', async () => {
    const told: string[] = []
    const fd = openSync('/dev/full', 'w')
    const full = createStdout(fd, (line) => told.push(line))
    for (let i = 0; i < 3; i += 1) expect(await full.write('x\n')).toMatchObject({ code: 'ENOSPC' })
    closeSync(fd)
    expect(told).toEqual([expect.stringMatching(/^standard output is not writable \(ENOSPC: .*\): /)])
    const { readEnd, writeEnd } = openPipe()
    closeSync(readEnd)
    const broken = createStdout(writeEnd, (line) => told.push(line))
    expect(await broken.write('x\n')).toMatchObject({ code: 'EPIPE' })
    closeSync(writeEnd)
    expect(told).toHaveLength(1)
  })

  it.each([
    ['ends first what a process before left half written', '{"a":1}\n{"b":', '{"a":1}\n{"b":\nnext\nlast\n'],
    ['ends no line that was ended', '{"a":1}\n', '{"a":1}\nnext\nlast\n'],
    ['ends no line of an empty file', '', 'next\nlast\n'],
  ])('%s', async (_what, before, after) => {
    const path = join(dir, 'file')
    writeFileSync(path, before)
    const fd = openSync(path, 'a')
    const stdout = createStdout(fd)
    await stdout.write('next\n')
    await stdout.write('last\n')
    closeSync(fd)
    expect(readFileSync(path, 'utf8')).toBe(after)
  })
})

describe('a terminal', () => {
  const ESC = '\u001b'
  /** What a terminal gets for a message, without the colours, which are ours. */
  async function shown(payload: unknown): Promise<string> {
    const path = join(dir, 'file')
    const fd = openSync(path, 'w')
    const format = await createTerminalFormat()
    await createConsoleSender(createStdout(fd), { format, onBroken: () => undefined }).deliver(
      [delivery('a', payload)],
      whenever,
      never,
    )
    closeSync(fd)
    const text = readFileSync(path, 'utf8')
    expect(text.endsWith('\n')).toBe(true)
    return text.slice(0, -1).replaceAll(new RegExp(`${ESC}\\[[0-9;]*m`, 'g'), '')
  }

  it.each([
    ['a line break', 'one\n[12:00:00.000] all is lost', 'one\\n[12:00:00.000] all is lost'],
    ['a carriage return', 'one\rtwo', 'one\\rtwo'],
    ['an escape sequence', `${ESC}[2J${ESC}]0;title\u0007`, '\\u001b[2J\\u001b]0;title\\u0007'],
    ['a sequence of one C1 character', '\u009b2J\u0085', '\\u009b2J\\u0085'],
    ['DEL, backspace, vertical tab and NUL', '\u007f\b\v\0', '\\u007f\\u0008\\u000b\\u0000'],
    ['line breaks of Unicode', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['text turned around', 'a\u202eb\u2066c\u200fd', 'a\\u202eb\\u2066c\\u200fd'],
  ])('shows %s as an escape', async (_what, payload, expected) => {
    for (const [sent, seen] of [
      [payload, expected],
      [{ [payload]: [payload] }, undefined],
    ] as const) {
      const text = await shown(sent)
      expect(text).toMatch(/^[^\p{Cc}\u2028\u2029\u200f\u202e\u2066]*$/u)
      if (seen !== undefined) expect(text).toContain(seen)
    }
  })

  it('shows all other text as it is', async () => {
    const text = 'grüße 🔔 👩‍🚀 שלום \\n "quoted"'
    expect(await shown(text)).toContain(text)
  })

  it('shows no line of the log that a request has made up', async () => {
    const format = await createTerminalFormat()
    const url = `/a\n[12:00:00.000] ${ESC}[2Kstopping`
    const err = { type: 'Error', message: url, stack: `Error: ${ESC}[2K\n    at x` }
    const text = format(`${JSON.stringify({ level: 30, time: 1, msg: url, req: { url }, err })}\n`)
    expect(text.replaceAll(new RegExp(`${ESC}\\[[0-9;]*m`, 'g'), '')).not.toContain(ESC)
    expect(text.split('\n').filter((line) => line.startsWith('['))).toHaveLength(1)
  })
})

describe('the console', () => {
  it('writes a batch as one line of JSON each, in the order claimed', async () => {
    const path = join(dir, 'file')
    const fd = openSync(path, 'w')
    const outcomes = await createConsoleSender(createStdout(fd), { onBroken: () => undefined }).deliver(
      [delivery('a', 'hi "you"'), delivery('b', { n: 1 })],
      whenever,
      never,
    )
    expect(outcomes).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }])
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        level: 30,
        time: expect.any(Number),
        messageId: 'a',
        dueAt: 1_000,
        lateMs: 3,
        attempt: 2,
        msg: 'hi "you"',
      },
      {
        level: 30,
        time: expect.any(Number),
        messageId: 'b',
        dueAt: 1_000,
        lateMs: 3,
        attempt: 2,
        msg: '{"n":1}',
      },
    ])
    closeSync(fd)
  })

  it('keeps a message on one line for readers that break lines at U+2028 too', async () => {
    const path = join(dir, 'file')
    const fd = openSync(path, 'w')
    await createConsoleSender(createStdout(fd), { onBroken: () => undefined }).deliver(
      [delivery('a', 'one\u2028two\u2029three\u0085')],
      whenever,
      never,
    )
    const text = readFileSync(path, 'utf8')
    expect(text).not.toMatch(/[\u0085\u2028\u2029]/)
    expect(JSON.parse(text)).toMatchObject({ msg: 'one\u2028two\u2029three\u0085' })
    closeSync(fd)
  })

  it('returns what it did not begin or could not write, and says once that its reader is gone', async () => {
    const { readEnd, writeEnd } = openPipe()
    const broken: Error[] = []
    const console = createConsoleSender(createStdout(writeEnd), { onBroken: (error) => broken.push(error) })
    const returned = [{ kind: 'returned' }]
    expect(await console.deliver([delivery('a', 'x')], performance.now() - 1, never)).toEqual(returned)
    expect(broken).toEqual([])
    closeSync(readEnd)
    expect(await console.deliver([delivery('a', 'x')], whenever, never)).toEqual(returned)
    expect(await console.deliver([delivery('a', 'x')], whenever, never)).toEqual(returned)
    expect(broken.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^standard output is closed/),
    ])
    closeSync(writeEnd)
  })
})
