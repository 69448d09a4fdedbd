import { describe, expect, it } from 'vitest'
import { parseAllowList } from '../../../../src/destinations/webhook/addresses.ts'
import { webhookDestinationProblems } from '../../../../src/destinations/webhook/target.ts'

const urlProblems = (url: string, allow = '') =>
  webhookDestinationProblems({ type: 'webhook', url }, { allow: parseAllowList(allow) }).map(
    ({ path, message }) => {
      expect(path).toBe('/destination/url')
      return message
    },
  )
const headerProblems = (headers: Readonly<Record<string, string>>) =>
  webhookDestinationProblems(
    { type: 'webhook', url: 'https://example.com/', headers },
    { allow: parseAllowList('') },
  )

describe("a webhook's URL", () => {
  it.each([
    'http://example.com',
    'HTTPS://Example.COM:8443/a/b?c=d&e=%20#f',
    'https://example.com/?to=me@example.org',
    'https://example.com/@me',
    'https://bücher.example/grüße',
    'http://1.1.1.1/',
    'http://[2606:4700::1]:8080/',
    'http://service/', // looked up when it is delivered
    'http://localhost.example.com/',
    `https://example.com/${'x'.repeat(2_028)}`,
  ])('is taken: %s', (url) => {
    expect(urlProblems(url)).toEqual([])
  })

  it.each([
    '',
    'example.com',
    '//example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'http:example.com',
    'http:/example.com',
    'http:///example.com',
    'http://',
    'http://?x',
    ' http://example.com/',
  ])('begins with http:// or https:// and a host: not %j', (url) => {
    expect(urlProblems(url)).toEqual(['must be a URL that begins with http:// or https:// and a host'])
  })

  it.each([
    'http://example.com/a b',
    'http://example.com/\n',
    'http://exam\tple.com/',
    'http://example.com/\r\nx: y',
    'http://example.com\\@10.0.0.1/',
    'http://example.com/\u0000',
    'http://example.com/\u007f',
    'http://example.com/\u0085',
    'http://example.com/\u2028',
    'http://example.com/\u00a0',
    'http://exam"ple.com/',
  ])('has nothing that readers disagree about: not %j', (url) => {
    expect(urlProblems(url)).toEqual([
      'must not have white space, control characters, backslashes or quotation marks',
    ])
  })

  it.each([
    'http://user:secret@example.com/',
    'http://user@example.com/',
    'http://:secret@example.com/',
    'http://@example.com/',
    'http://:@example.com/',
    'http://example.com@10.0.0.1/',
    'http://example.com:80@10.0.0.1/',
    'http://a@b@example.com/',
  ])('has no credentials: not %s', (url) => {
    expect(urlProblems(url)).toEqual([
      'must not have credentials or an @ before the path; use a header for credentials',
    ])
  })

  it.each(['http://example.com:99999/', 'http://[::1/', 'http://1.2.3.4.5/', 'http://%00/', 'http://a^b/'])(
    'can be read: not %s',
    (url) => {
      expect(urlProblems(url)).toEqual(['must be a valid URL'])
    },
  )

  it('is at most 2,048 characters long', () => {
    expect(urlProblems(`https://example.com/${'x'.repeat(2_029)}`)).toEqual([
      'must be at most 2048 characters long',
    ])
  })

  const BLOCKED = 'must have a public address, or one that WEBHOOK_ALLOW lists'
  it.each([
    'http://127.0.0.1/',
    'http://127.0.0.1./',
    'http://127.1/',
    'http://127.0.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0X7F.1/',
    'http://0177.0.0.1/',
    'http://017700000001/',
    'http://0/',
    'http://%31%32%37.0.0.1/',
    'http://１２７.0.0.1/',
    'http://127。0。0。1/',
    'http://10.0.0.1:8080/',
    'http://169.254.169.254/latest/meta-data/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[0:0:0:0:0:FFFF:7F00:0001]/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b::10.0.0.1]/',
    'http://[2002:7f00:1::]/',
    'http://[fd00:ec2::254]/',
    'http://[fe80::1]/',
    'http://localhost/',
    'http://LOCALHOST:6379/',
    'http://localhost./',
    'http://redis.localhost/',
  ])('does not name an address that is not public, in no spelling: not %s', (url) => {
    expect(urlProblems(url)).toEqual([BLOCKED])
  })

  it('may name what WEBHOOK_ALLOW has', () => {
    expect(urlProblems('http://2130706433/', '127.0.0.0/8')).toEqual([])
    expect(urlProblems('http://[::ffff:127.0.0.1]/', '127.0.0.0/8')).toEqual([])
    expect(urlProblems('http://10.0.0.1/', '127.0.0.0/8')).toEqual([BLOCKED])
    expect(urlProblems('http://localhost/', 'localhost')).toEqual([])
    expect(urlProblems('http://a.localhost/', 'localhost')).toEqual([BLOCKED])
    // It leads to these, and the look-up tells which.
    expect(urlProblems('http://localhost/', '127.0.0.1')).toEqual([])
    expect(urlProblems('http://localhost/', '::1')).toEqual([])
    expect(urlProblems('http://localhost/', '10.0.0.0/8')).toEqual([BLOCKED])
  })
})

describe("a webhook's headers", () => {
  it('may be any others, content-type and user-agent among them', () => {
    const headers = {
      'Content-Type': 'text/plain',
      'user-agent': 'me',
      Authorization: 'Bearer x',
      'x-empty': '',
      'x-tab': 'a\tb',
      'x-latin': 'grüße',
      "!#$%&'*+-.^_`|~": 'odd',
      'x-webhook-id': 'mine',
    }
    expect(headerProblems(headers)).toEqual([])
  })

  it.each([
    'webhook-id',
    'Webhook-Signature',
    'webhook-anything',
    'carillon-claim',
    'CARILLON-ATTEMPT',
    'Host',
    'content-length',
    'Connection',
    'keep-alive',
    'proxy-authenticate',
    'proxy-authorization',
    'proxy-connection',
    'TE',
    'trailer',
    'Transfer-Encoding',
    'upgrade',
    'expect',
  ])('are not %s', (name) => {
    expect(headerProblems({ [name]: 'x', 'x-other': 'x' })).toEqual([
      {
        path: `/destination/headers/${name}`,
        message: 'must not be set: the service sets this header itself',
      },
    ])
  })

  it.each([
    ['', ''],
    ['x y', 'x y'],
    ['x:', 'x:'],
    ['x\r\ny', 'x\r\ny'],
    ['x/~', 'x~1~0'],
    ['grüße', 'grüße'],
    ['host ', 'host '],
  ])('have tokens for names: not %j', (name, pointer) => {
    expect(headerProblems({ [name]: 'x' })).toEqual([
      {
        path: `/destination/headers/${pointer}`,
        message: "must have a name of letters, digits and !#$%&'*+-.^_`|~ only",
      },
    ])
  })

  it.each(['a\r\nx: y', 'a\n', '\r', 'a\u0000b', '\u001b[0m', '\u007f', '\u0085', '\u0100', '🔔', '\u2028'])(
    'have values that HTTP can carry: not %j',
    (value) => {
      expect(headerProblems({ 'x-foo': value })).toEqual([
        { path: '/destination/headers/x-foo', message: 'must be printable Latin-1 characters and tabs' },
      ])
    },
  )

  it('do not differ in upper and lower case only', () => {
    expect(headerProblems({ 'X-Foo': 'a', 'x-bar': 'b', 'x-foo': 'c' })).toEqual([
      {
        path: '/destination/headers/x-foo',
        message: 'must not be set twice, in upper and lower case',
      },
    ])
  })

  it('are 50 at most, of 8 KiB together', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']))
    expect(headerProblems(many(50))).toEqual([])
    expect(headerProblems(many(51))).toEqual([
      { path: '/destination/headers', message: 'must be at most 50 headers' },
    ])
    expect(headerProblems({ 'x-a': 'v'.repeat(8_189) })).toEqual([])
    expect(headerProblems({ 'x-a': 'v'.repeat(8_190) })).toEqual([
      {
        path: '/destination/headers',
        message: 'must be at most 8192 bytes, names and values together',
      },
    ])
  })
})
