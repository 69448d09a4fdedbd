import { describe, expect, it } from 'vitest'
import { decodeRecord, encodeOptions, encodeRecordBody } from '../../../src/domain/message.ts'
import { fromStoredUrl, originOf, toStoredUrl } from '../../../src/domain/webhook-origin.ts'

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
      expect(toStoredUrl(url)).toEqual({ url })
    },
  )

  it('does not stop at many hosts', () => {
    for (let i = 0; i < 2_500; i += 1) expect(originOf(`http://H${i}.test:80/`)).toBe(`http://h${i}.test`)
  })
})

describe('a URL that is stored', () => {
  it('is as it was given, and nothing else, where the scripts find its origin in it', () => {
    for (const url of [
      'https://example.com/hook?a=b',
      'HTTPS://Example.com:8443/A',
      'http://127.0.0.1:3000',
    ]) {
      expect(toStoredUrl(url)).toEqual({ url })
      const options = { destination: { type: 'webhook', url } } as const
      expect(encodeRecordBody('1', options)).toBe(
        `${JSON.stringify({ d: JSON.stringify(options.destination) })}\n1`,
      )
    }
  })

  it('is read as it was given, whatever its spelling', () => {
    for (const [origin, spellings] of Object.entries(SAME)) {
      for (const host of spellings) {
        const url = `Http://${host}/Hook?q=é#f`
        expect(fromStoredUrl(toStoredUrl(url))).toEqual({ url, origin })
        const destination = { type: 'webhook', url, headers: { a: 'b' } } as const
        expect(decodeRecord(`1${encodeRecordBody('1', { destination })}`)).toMatchObject({
          destination,
          hostOrigin: origin,
        })
      }
    }
  })

  it('keeps the origin that placed its message when an older version stored it', () => {
    const stored = decodeRecord(
      `1${JSON.stringify({ d: '{"type":"webhook","url":"http://127.1:80/x"}' })}\n1`,
    )
    expect(stored).toMatchObject({ destination: { url: 'http://127.1:80/x' }, hostOrigin: 'http://127.1:80' })
  })

  it('has no spelling of another host, should a version before have changed it', () => {
    expect(fromStoredUrl({ url: 'http://other.test/', spelling: 'http://127.1' })).toEqual({
      url: 'http://other.test/',
      origin: 'http://other.test',
    })
  })

  it('takes its spelling along when it is changed', () => {
    expect(encodeOptions({ destination: { type: 'webhook', url: 'http://127.1/' } })).toEqual([
      ['d', '{"type":"webhook","url":"http://127.0.0.1/"}'],
      ['u', 'http://127.1'],
    ])
    expect(encodeOptions({ destination: { type: 'webhook', url: 'http://a.test/' } })).toEqual([
      ['d', '{"type":"webhook","url":"http://a.test/"}'],
      ['u', ''],
    ])
    expect(encodeOptions({ destination: undefined })).toEqual([
      ['d', ''],
      ['u', ''],
    ])
  })
})
