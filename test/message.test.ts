import { describe, expect, it } from 'vitest'
import { decodeRecord, encodeRecordBody } from '../src/message.ts'
import { createIdMaker } from '../src/message-id.ts'

describe('a record', () => {
  it('is read back as it was written', () => {
    const payload = JSON.stringify('two\nlines')
    expect(decodeRecord(`1730104372243${encodeRecordBody(payload)}`)).toEqual({
      dueAt: 1_730_104_372_243,
      payload,
      version: 1,
      createdAt: null,
      fingerprint: null,
    })
  })

  it.each(['', 'x', '\n"x"', 'abc\n"x"'])('%j is none', (text) => {
    expect(() => decodeRecord(text)).toThrow(TypeError)
  })
})

describe('an id made here', () => {
  it('starts with ~ and its shard, and is short enough for a 16-byte allocation', () => {
    const ids = createIdMaker()
    expect(ids.next(0, 1_730_104_372_243)).toMatch(/^~0[0-9A-Za-z]{11}$/)
    expect(ids.next(15, 1_730_104_372_243)).toMatch(/^~15[0-9A-Za-z]{11}$/)
    expect(ids.next(99, 1_730_104_372_243).length).toBeLessThanOrEqual(14)
  })

  it('is never the same twice, however many come in one millisecond', () => {
    const ids = createIdMaker()
    const made = new Set(Array.from({ length: 200_000 }, () => ids.next(0, 5)))
    expect(made.size).toBe(200_000)
  })

  it('sorts after one made earlier', () => {
    const ids = createIdMaker()
    expect(ids.next(0, 1_730_104_372_243) < ids.next(0, 1_730_104_372_244)).toBe(true)
    expect(ids.next(0, 1_730_104_372_244) < ids.next(0, 1_930_104_372_244)).toBe(true)
  })
})
