import { describe, expect, it } from 'vitest'
import { parseAttemptCounts } from '../../../src/domain/attempt-counts.ts'
import type { MessageOptions } from '../../../src/domain/message.ts'
import { createIdMaker } from '../../../src/domain/message-id.ts'
import { fingerprintOf } from '../../../src/records/fingerprint.ts'
import { decodeFailures, decodeHistoryEntry } from '../../../src/records/history.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../../src/records/record.ts'

describe('a record', () => {
  it('is read back as it was written', () => {
    const payload = JSON.stringify('two\nlines')
    expect(decodeRecord(`1730104372243${encodeRecordBody(payload)}`)).toEqual({
      dueAt: 1_730_104_372_243,
      payload,
      version: 1,
      createdAt: null,
      fingerprint: null,
      lane: '',
    })
  })

  it.each(['', 'x', '\n"x"', 'abc\n"x"'])('%j is none', (text) => {
    expect(() => decodeRecord(text)).toThrow(TypeError)
  })
})

const WEBHOOK = { type: 'webhook', url: 'https://a.test/hook' } as const

describe('the options of a record', () => {
  const options: MessageOptions = {
    destination: { ...WEBHOOK, method: 'PUT', headers: { a: '"b' }, timeoutMs: 500 },
    tags: ['t', 'ü'],
    retry: { attempts: 3, jitter: 'none' },
    notAfter: 1_730_104_372_999,
    onLate: 'dead-letter',
  }

  it('are read back as they were written', () => {
    const record = `1730104372243${encodeRecordBody('"x"', options, 'print')}`
    expect(decodeRecord(record)).toEqual({
      ...options,
      lane: 'webhook:https://a.test',
      dueAt: 1_730_104_372_243,
      payload: '"x"',
      version: 1,
      createdAt: null,
      fingerprint: 'print',
    })
  })

  it('are not stored when they equal the defaults', () => {
    expect(encodeRecordBody('1', { destination: { type: 'console' }, tags: [] })).toBe('\n1')
  })

  it.each([
    [
      { url: 'https://a.test/hook', headers: { a: 'b' }, type: 'webhook' },
      'webhook:https://a.test {"url":"/hook","headers":{"a":"b"}}',
    ],
    [{ maxLen: 5, name: 'n', type: 'stream' }, 'stream n 5'],
    [{ name: 'n', type: 'stream' }, 'stream n'],
    [{ queue: 'q', type: 'pull' }, 'pull:q'],
  ] as const)('begin the destination %j with its lane', (destination, stored) => {
    const [[, text] = ['', '']] = encodeOptions({ destination })
    expect(text).toBe(stored)
    expect(decodeRecord(`1${encodeRecordBody('1', { destination })}`).destination).toEqual(destination)
  })

  it.each([
    [{ url: 'https://a.test/hook', headers: { a: 'b' }, type: 'webhook' }, '{"type":"webhook","url":'],
    [{ maxLen: 5, name: 'n', type: 'stream' }, '{"type":"stream","name":"n","maxLen":5}'],
    [{ name: 'n', type: 'stream' }, '{"type":"stream","name":"n"}'],
    [{ queue: 'q', type: 'pull' }, '{"type":"pull","queue":"q"}'],
  ] as const)('keep, for older servers, the destination %j as JSON in their order', (destination, start) => {
    const [[, text] = ['', '']] = encodeOptions({ destination }, 1)
    expect(text.startsWith(start)).toBe(true)
    expect(JSON.parse(text)).toEqual(destination)
    const body = encodeRecordBody('1', { destination }, undefined, 1)
    expect(decodeRecord(`1${body}`)).toEqual({
      ...decodeRecord(`1${encodeRecordBody('1', { destination })}`),
    })
  })

  it.each([
    'x',
    'webhook:https://a.test',
    'webhook:https://a.test {',
    'stream',
    'stream a b',
    'pull:q r',
    'unknown:x',
  ])('have no destination %j', (d) =>
    expect(() => decodeRecord(`1${JSON.stringify({ d })}\n1`)).toThrow(TypeError),
  )

  it('are removed by their default, and by undefined', () => {
    expect(
      encodeOptions({
        ...{ destination: undefined, tags: undefined, retry: undefined },
        ...{ notAfter: undefined, onLate: undefined },
      }),
    ).toEqual([
      ['d', ''],
      ['u', ''],
      ['t', ''],
      ['r', ''],
      ['n', ''],
      ['l', ''],
    ])
  })
})

describe('what went wrong with a message', () => {
  const reports = [
    { at: 1, claim: 2, durationMs: 3, error: 'ECONNRESET' },
    { at: 4, claim: 5, durationMs: 6, status: 503, body: 'two\nlines' },
  ]
  const failures = ['status 503', ...reports.map((report) => JSON.stringify(report))].join('\n')

  it('is its reason and its last attempts', () => {
    expect(decodeFailures(failures)).toEqual({ reason: 'status 503', lastAttempts: reports })
    expect(decodeFailures('recoveries')).toEqual({ reason: 'recoveries', lastAttempts: [] })
    expect(decodeFailures('')).toEqual({})
  })

  it('stands in the history after its record', () => {
    expect(decodeHistoryEntry(`delivered 9 8 2 1\n7{"v":2}\n"x"\n${failures}`)).toEqual({
      finishedAt: 9,
      lateMs: 8,
      attemptCounts: '2 1',
      record: '7{"v":2}\n"x"',
      failures,
    })
    expect(decodeHistoryEntry('dropped 9 8 0 0\n7\n"x"').failures).toBe('')
    expect(() => decodeHistoryEntry('delivered 9\n7\n"x"')).toThrow(TypeError)
  })

  it('is counted by its kind', () => {
    expect(parseAttemptCounts('')).toEqual({ failures: 0, recoveries: 0 })
    expect(parseAttemptCounts('2 1')).toEqual({ failures: 2, recoveries: 1 })
  })
})

describe('the fingerprint', () => {
  const of = (options: MessageOptions) => fingerprintOf({ at: 5 }, '1', options)

  it('is one for what is said and for what goes without saying', () => {
    expect(of({ destination: { type: 'console' }, tags: [], onLate: 'deliver', retry: {} })).toBe(of({}))
    expect(of({ destination: { ...WEBHOOK, method: 'POST', headers: {}, timeoutMs: 15_000 } })).toBe(
      of({ destination: WEBHOOK }),
    )
    expect(of({ retry: { attempts: 5, factor: 2 } })).toBe(of({}))
  })

  it('differs with the destination and with all that is said of it', () => {
    const options: MessageOptions[] = [
      {},
      { destination: WEBHOOK },
      { destination: { ...WEBHOOK, url: 'https://a.test/other' } },
      { destination: { ...WEBHOOK, method: 'GET' } },
      { destination: { ...WEBHOOK, headers: { a: 'b' } } },
      { destination: { ...WEBHOOK, timeoutMs: 100 } },
      { destination: { type: 'stream', name: 's' } },
      { destination: { type: 'stream', name: 's', maxLen: 1 } },
      { destination: { type: 'pull', queue: 's' } },
      { retry: { attempts: 6 } },
    ]
    expect(new Set(options.map(of)).size).toBe(options.length)
  })
})

describe('the fingerprint of content that parsing does not change', () => {
  // As they were stored before payloads were kept as text.
  it.each([
    ['1', 'fuw-bNG5zPnQeanG-Vf8M_', 'usnsc_P0SrzEk0uquLlyj0'],
    ['"a\\/\\u0041"', 'CMsfwZkjAr9jivf9yUF98f', 'MumHIzGD0efW3nUE3Y5Cpo'],
    [
      '{"b":[1.50,-0,1e21,0.1],"a":{"__proto__":1,"10":2,"9":"\\ud800"}}',
      '5pOmwqgp_xarueUyaoP_x4',
      'toYA6W4Rek4FDKN4EU4hL3',
    ],
    ['null', '9II1A9lDmyWdjv_exxLCo1', '75nZcsnS3IoBUO2iukt-zz'],
  ])('%s is what it was', (payload, withAll, withNone) => {
    const options: MessageOptions = {
      tags: ['t'],
      destination: { ...WEBHOOK, headers: { a: 'b' } },
      retry: { factor: 1.5 },
      notAfter: 9_000,
      onLate: 'drop',
    }
    expect(fingerprintOf({ inMs: 5_000 }, payload, options)).toBe(withAll)
    expect(fingerprintOf({ at: 5 }, payload, {})).toBe(withNone)
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
