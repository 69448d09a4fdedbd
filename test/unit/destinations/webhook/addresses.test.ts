import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isAllowed, parseAllowList } from '../../../../src/destinations/webhook/addresses.ts'

const NOTHING = parseAllowList('')
const allowed = (address: string, allow = '', hostname = 'example.com') =>
  isAllowed(address, hostname, parseAllowList(allow))

describe('without WEBHOOK_ALLOW', () => {
  it.each([
    ['1.1.1.1'],
    ['9.255.255.255'],
    ['11.0.0.0'],
    ['93.184.216.34'],
    ['100.63.255.255'],
    ['100.128.0.0'],
    ['126.255.255.255'],
    ['128.0.0.0'],
    ['169.253.255.255'],
    ['169.255.0.0'],
    ['172.15.255.255'],
    ['172.32.0.0'],
    ['192.167.255.255'],
    ['192.169.0.0'],
    ['198.17.255.255'],
    ['198.20.0.0'],
    ['223.255.255.255'],
    ['2001:200::'],
    ['2001:db7:ffff::1'],
    ['2606:4700:4700::1111'],
    ['2a00:1450:4001::200e'],
    ['3ffe::1'],
  ])('%s is reached, as it is public', (address) => {
    expect(allowed(address)).toBe(true)
  })

  // IANA's special-purpose registries, with both ends of each range, and what is in none of them.
  it.each([
    ['this network', '0.0.0.0', '0.255.255.255'],
    ['private', '10.0.0.0', '10.255.255.255'],
    ['private', '172.16.0.0', '172.31.255.255'],
    ['private', '192.168.0.0', '192.168.255.255'],
    ['carrier-grade NAT', '100.64.0.0', '100.127.255.255'],
    ['loopback', '127.0.0.0', '127.255.255.255'],
    ['link-local', '169.254.0.0', '169.254.255.255'],
    ['metadata', '169.254.169.254', '100.100.100.200'],
    ["Azure's host", '168.63.129.16', '168.63.129.16'],
    ['protocol assignments', '192.0.0.0', '192.0.0.255'],
    ['documentation', '192.0.2.0', '192.0.2.255'],
    ['documentation', '198.51.100.0', '203.0.113.255'],
    ['6to4 relays', '192.88.99.0', '192.88.99.255'],
    ['AS112, AMT', '192.31.196.0', '192.52.193.255'],
    ['benchmarking', '198.18.0.0', '198.19.255.255'],
    ['multicast', '224.0.0.0', '239.255.255.255'],
    ['reserved', '240.0.0.0', '255.255.255.254'],
    ['broadcast', '255.255.255.255', '255.255.255.255'],
    ['unspecified, loopback', '::', '::1'],
    ['IPv4-translated', '::ffff:0:1.1.1.1', '::ffff:0:808:808'],
    ['NAT64 for local use', '64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:1.1.1.1'],
    ['discard', '100::', '100::ffff:ffff:ffff:ffff'],
    ['dummy', '100:0:0:1::', '100:0:0:1:ffff::'],
    ['Teredo', '2001::', '2001:0:ffff:ffff::1'],
    ['protocol assignments', '2001:1::1', '2001:1ff:ffff::1'],
    ['benchmarking', '2001:2::', '2001:2:0:ffff::1'],
    ['AMT, AS112', '2001:3::1', '2001:4:112::1'],
    ['ORCHID', '2001:10::1', '2001:2f:ffff::1'],
    ['documentation', '2001:db8::', '2001:db8:ffff::1'],
    ['documentation', '3fff::', '3fff:fff:ffff::1'],
    ['AS112', '2620:4f:8000::', '2620:4f:8000:ffff::1'],
    ['segment routing', '5f00::', '5f00:ffff::1'],
    ['not given out', '200::', '1fff:ffff::1'],
    ['not given out', '4000::', 'fbff:ffff::1'],
    ['unique local', 'fc00::', 'fdff:ffff::1'],
    ['metadata', 'fd00:ec2::254', 'fd20:ce::254'],
    ['link-local', 'fe80::', 'febf:ffff::1'],
    ['link-local with its zone', 'fe80::1%lo', 'fe80::1%1'],
    ['site-local', 'fec0::', 'feff:ffff::1'],
    ['multicast', 'ff00::', 'ffff:ffff::1'],
  ])('%s is not reached: %s to %s', (_what, first, last) => {
    expect(allowed(first)).toBe(false)
    expect(allowed(last)).toBe(false)
  })

  it.each(['', 'localhost', '127.1', '010.0.0.1', '1.1.1.1.', '[2606:4700::1]', '1.1.1.1:80'])(
    'what is no address is not reached: %j',
    (address) => {
      expect(allowed(address)).toBe(false)
    },
  )

  it('judges IPv6 that holds an IPv4 address as that, however it does', () => {
    const octet = fc.integer({ min: 0, max: 255 })
    fc.assert(
      fc.property(octet, octet, octet, octet, (...octets) => {
        const dotted = octets.join('.')
        const [high, low] = [0, 2].map((i) => ((octets[i] ?? 0) * 256 + (octets[i + 1] ?? 0)).toString(16))
        const expected = isAllowed(dotted, 'example.com', NOTHING)
        for (const form of [
          `::ffff:${dotted}`,
          `::${dotted}`,
          `64:ff9b::${dotted}`,
          `2002:${high}:${low}::1`,
        ]) {
          expect([form, isAllowed(form, 'example.com', NOTHING)]).toEqual([form, expected])
        }
      }),
    )
    for (const form of ['::ffff:7f00:1', '::7f00:1', '64:ff9b::a00:1', '2002:a9fe:a9fe::']) {
      expect([form, allowed(form)]).toEqual([form, false])
    }
    for (const form of ['::ffff:101:101', '::101:101', '64:ff9b::101:101', '2002:101:101::']) {
      expect([form, allowed(form)]).toEqual([form, true])
    }
  })
})

describe('WEBHOOK_ALLOW', () => {
  it('lets any name reach the addresses of a CIDR, and no others', () => {
    const allow = '10.1.0.0/16, fd00:1::/32'
    expect(allowed('10.1.0.0', allow)).toBe(true)
    expect(allowed('10.1.255.255', allow, 'other.example')).toBe(true)
    expect(allowed('10.0.255.255', allow)).toBe(false)
    expect(allowed('10.2.0.0', allow)).toBe(false)
    expect(allowed('fd00:1:ffff::1', allow)).toBe(true)
    expect(allowed('fd00:2::1', allow)).toBe(false)
  })

  it('means one address where no prefix stands', () => {
    const allow = '127.0.0.1,::1,[fd00::1],[fd01::]/16'
    for (const address of ['127.0.0.1', '::1', 'fd00::1', 'fd01:2::3'])
      expect(allowed(address, allow)).toBe(true)
    for (const address of ['127.0.0.2', '::2', 'fd00::2']) expect(allowed(address, allow)).toBe(false)
  })

  it('means the IPv4 address within an IPv6 one too', () => {
    for (const form of ['::ffff:10.1.2.3', '::10.1.2.3', '64:ff9b::10.1.2.3', '2002:a01:203::1']) {
      expect(allowed(form, '10.1.0.0/16')).toBe(true)
      expect(allowed(form, '10.2.0.0/16')).toBe(false)
    }
    expect(allowed('::ffff:10.1.2.3', '::ffff:0:0/96')).toBe(true)
  })

  it('lets exactly a name reach any address', () => {
    const allow = 'hooks.internal,MÜLLER.example.'
    for (const hostname of ['hooks.internal', 'HOOKS.internal', 'hooks.internal.', 'xn--mller-kva.example']) {
      expect(allowed('10.0.0.1', allow, hostname)).toBe(true)
      expect(allowed('::1', allow, hostname)).toBe(true)
    }
    for (const hostname of ['internal', 'a.hooks.internal', 'hooks.internal.example.com', '10.0.0.1']) {
      expect(allowed('10.0.0.1', allow, hostname)).toBe(false)
    }
  })

  it('takes single labels and underscores, as container networks have them', () => {
    expect([...parseAllowList('redis, my_service').names]).toEqual(['redis', 'my_service'])
  })

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '10.0.0/8',
    '127.1',
    '0x7f000001',
    '2130706433',
    '[10.0.0.1]',
    '[::1',
    'http://hooks.internal',
    'hooks.internal:8080',
    'hooks.internal/path',
    'user@hooks.internal',
    '*.internal',
    'two words',
    '-a-',
    '%31.example',
    '.',
    '',
  ])('names an entry that is none of these: %j', (entry) => {
    expect(() => parseAllowList(`10.0.0.0/8,${entry}`)).toThrow(
      `${JSON.stringify(entry)} is not a CIDR, address or host name`,
    )
  })
})
