import { describe, expect, it } from 'vitest'
import { originOf } from '../../../../src/destinations/webhook/origin.ts'
import type { RecordForm } from '../../../../src/domain/message.ts'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../../../src/records/record.ts'

/** Spellings of one host each, all of which a webhook may have. */
const SAME: Record<string, string[]> = {
  'http://127.0.0.1': [
    '127.0.0.1',
    '127.1',
    '127.0.0.1.',
    '127.0.0.1:80',
    '0x7f.1',
    '2130706433',
    '0177.0.0.1',
    '127.1:080',
  ],
  'http://example.com': [
    'example.com',
    'EXAMPLE.com',
    'example.com.',
    'example.com:80',
    'example.com.:80',
    'ex\u200bample.com',
    'ex\u00adample.com',
    'ex\u2060ample.com',
    '%65xample.com',
    'ｅｘａｍｐｌｅ.com',
    'example\u3002com',
    'example.com:',
  ],
  'http://xn--bcher-kva.example': [
    'bücher.example',
    'BÜCHER.example',
    'bu\u0308cher.example',
    'xn--bcher-kva.example',
    'XN--BCHER-KVA.example.',
  ],
  'http://[::1]': ['[::1]', '[0:0:0:0:0:0:0:1]', '[::1]:80', '[0::1]'],
  'http://example.com:8080': ['example.com:8080', 'example.com.:8080', 'Example.com:08080'],
}

describe('the origin of a webhook', () => {
  it.each(Object.entries(SAME))('%s has one name, however it is spelled', (origin, spellings) => {
    for (const host of spellings) {
      for (const rest of ['', '/', '/hook?q=a:80#f', '?q', '#f'])
        expect([host, originOf(`http://${host}${rest}`)]).toEqual([host, origin])
      expect(originOf(`HTTP://${host}/`)).toBe(origin)
    }
  })

  it.each([
    ['http://example.com', 'https://example.com'],
    ['http://example.com', 'http://example.com:443'],
    ['https://example.com', 'https://example.com:80'],
    ['http://example.com', 'http://www.example.com'],
    ['http://example.com', 'http://example.com.evil.test'],
    ['http://127.0.0.1', 'http://127.0.0.2'],
  ])('is another for %s and %s', (one, other) => {
    expect(originOf(one)).not.toBe(originOf(other))
  })

  it.each(['http://a b/', 'ftp://A.test:21/', 'http://[::1', 'nonsense', 'http://'])(
    'is the spelling where it cannot be read: %s',
    (url) => {
      expect(originOf(url)).toBe(/^\w+:\/\/[^/]+/.exec(url)?.[0].toLowerCase() ?? '')
    },
  )

  it('does not stop at many hosts', () => {
    for (let i = 0; i < 2_500; i += 1) expect(originOf(`http://H${i}.test:80/`)).toBe(`http://h${i}.test`)
  })
})

describe('the URL of a webhook that is stored', () => {
  const stored = (url: string, form: RecordForm) =>
    encodeOptions({ destination: { type: 'webhook', url } }, form).map(([, text]) => text)

  it('is read as it was given, whatever its spelling and the form', () => {
    for (const [origin, spellings] of Object.entries(SAME)) {
      for (const host of spellings) {
        const url = `Http://${host}/Hook?q=é#f`
        const destination = { type: 'webhook', url, headers: { a: 'b' } } as const
        for (const form of [1, 2] as const) {
          const record = `1${encodeRecordBody('1', { destination }, undefined, form)}`
          expect(decodeRecord(record)).toMatchObject({ destination, lane: `webhook:${origin}` })
        }
      }
    }
  })

  it('is behind its lane, with the host only where its spelling is another', () => {
    expect(stored('http://a.test/x?y', 2)).toEqual(['webhook:http://a.test {"url":"/x?y"}', ''])
    expect(stored('http://A.test', 2)).toEqual([
      'webhook:http://a.test {"url":"","host":"http://A.test"}',
      '',
    ])
  })

  it('has, for older servers, its origin in the place of a spelling in which they would find another', () => {
    for (const url of ['https://example.com/hook?a=b', 'HTTPS://Example.com:8443/A', 'http://127.0.0.1:3000'])
      expect(stored(url, 1)).toEqual([JSON.stringify({ type: 'webhook', url }), ''])
    expect(stored('http://127.1/', 1)).toEqual([
      '{"type":"webhook","url":"http://127.0.0.1/"}',
      'http://127.1',
    ])
  })

  it('keeps the origin that placed its message when an older server stored it', () => {
    const record = (options: object) => `1${JSON.stringify(options)}\n1`
    expect(decodeRecord(record({ d: '{"type":"webhook","url":"http://127.1:80/x"}' }))).toMatchObject({
      destination: { url: 'http://127.1:80/x' },
      lane: 'webhook:http://127.1:80',
    })
    const changed = { d: '{"type":"webhook","url":"http://other.test/"}', u: 'http://127.1' }
    expect(decodeRecord(record(changed))).toMatchObject({
      destination: { url: 'http://other.test/' },
      lane: 'webhook:http://other.test',
    })
  })
})
