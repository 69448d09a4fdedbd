import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { fits } from '../../../src/http/v1/batch/batch.ts'
import { createLineSplitter } from '../../../src/http/v1/batch/lines.ts'
import { answerLines } from '../../../src/http/v1/batch/ndjson.ts'
import { until } from '../../support/until.ts'

const LIMIT = 2_048

describe('answerLines', () => {
  const quick = { takeText: async () => ({ id: 'x', status: 201 as const }) }
  const options = {
    intake: quick,
    bodyLimit: LIMIT,
    ending: new AbortController().signal,
    onEarlyEnd: () => undefined,
  }

  it('has no more than 500 lines in hand, however long Redis takes', async () => {
    let taken = 0
    const stuck = {
      takeText: () => {
        taken += 1
        return new Promise<never>(() => undefined)
      },
    }
    const source = Readable.from([Buffer.from('{}\n'.repeat(5_000))], { objectMode: false })
    const answers = answerLines(source, { ...options, intake: stuck })
    await answers.next()
    void answers.next()
    await until('it has read what it may', () => taken === 500)
    for (let i = 0; i < 10; i += 1) await new Promise(setImmediate)
    expect(taken).toBe(500)
  })

  it('reads no further than its results are taken', async () => {
    let read = 0
    const source = new Readable({
      highWaterMark: 1,
      read() {
        read += 1
        this.push('{}\n'.repeat(500))
      },
    })
    const answers = answerLines(source, options)
    for (let i = 0; i < 3; i += 1) await answers.next()
    for (let i = 0; i < 10; i += 1) await new Promise(setImmediate)
    expect(read).toBeLessThan(10)
    source.destroy()
  })

  it('keeps few large lines in hand', async () => {
    let taken = 0
    const stuck = {
      takeText: () => {
        taken += 1
        return new Promise<never>(() => undefined)
      },
    }
    const source = Readable.from(Array(100).fill(Buffer.from(`${'x'.repeat(999_999)}\n`)))
    const answers = answerLines(source, { ...options, bodyLimit: 1_048_576, intake: stuck })
    await answers.next()
    void answers.next()
    await until('it has read what it may', () => taken >= 2)
    for (let i = 0; i < 20; i += 1) await new Promise(setImmediate)
    expect(taken).toBeLessThan(6)
  })
})

describe('the bytes that a stream of lines holds', () => {
  const line = (characters: number) => `${'x'.repeat(characters - 1)}\n`
  const taking = { takeText: async () => ({ id: 'x', status: 201 as const }) }
  const rest = { intake: taking, bodyLimit: LIMIT, ending: new AbortController().signal }

  it('are told as they come, and as their results go out', async () => {
    const told: number[] = []
    const hold = (bytes: number) => told.push(bytes) > 0
    const source = Readable.from([line(100), 'y'.repeat(70), 'y'.repeat(30)].map((text) => Buffer.from(text)))
    for await (const _ of answerLines(source, { ...rest, onEarlyEnd: () => undefined, hold }));
    expect(Math.max(...told)).toBeLessThanOrEqual(200)
    expect(told).toContain(100)
    expect(told.at(-1)).toBe(100) // the last line, whose end was that of the stream
  })

  it('end it with a 503 for the next line where there is no room, and what is left is read', async () => {
    const pieces = [line(10), 'y'.repeat(500), 'y'.repeat(400), 'z'.repeat(10)]
    const source = Readable.from(pieces.map((text) => Buffer.from(text)))
    let early = 0
    const onEarlyEnd = () => {
      early += 1
    }
    const results: string[] = []
    const hold = (bytes: number) => bytes < 600
    for await (const text of answerLines(source, { ...rest, onEarlyEnd, hold })) results.push(text)
    const last = JSON.parse(results.at(-1) ?? '') as object
    expect(last).toMatchObject({
      line: 2,
      status: 503,
      detail: expect.stringMatching(/^server overloaded/),
    })
    expect(early).toBe(1)
    await until('all of it is read', () => source.readableEnded)
  })
})

describe('createLineSplitter', () => {
  it('keeps nothing of a line that never ends', () => {
    const splitter = createLineSplitter(LIMIT)
    const piece = Buffer.alloc(1_048_576, 'x')
    const before = process.memoryUsage().arrayBuffers
    let told = 0
    for (let i = 0; i < 200; i += 1) told += [...splitter.split(piece)].length
    expect(told).toBe(1)
    expect([...splitter.rest()]).toEqual([])
    expect([...splitter.split(Buffer.from('\nnext\n'))]).toEqual([{ number: 2, text: 'next' }])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
  })
})

describe('fits', () => {
  it.each([
    ['a string', 'x'.repeat(98), true],
    ['one too many', 'x'.repeat(99), false],
    ['umlauts', 'ä'.repeat(49), true],
    ['one umlaut too many', 'ä'.repeat(50), false],
    ['escapes', '\n'.repeat(49), true],
    ['one escape too many', '\n'.repeat(50), false],
    ['numbers', Array(33).fill(10), true],
    ['one number too many', Array(34).fill(10), false],
    ['an object', { ['x'.repeat(94)]: 1 }, true],
    ['a key too long', { ['x'.repeat(95)]: 1 }, false],
  ])('counts the JSON text of %s', (_what, value, expected) => {
    expect(Buffer.byteLength(JSON.stringify(value)) <= 100).toBe(expected)
    expect(fits(value, 100)).toBe(expected)
  })
})
