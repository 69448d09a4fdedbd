import { BlockList, isIP, isIPv6 } from 'node:net'

export const TRUST_PROXY_FORM =
  'addresses and CIDRs of proxies, comma-separated, such as 127.0.0.1,10.0.0.0/8,::1'

/**
 * Reads the setting TRUST_PROXY.
 *
 * @returns whether a proxy with this address is one of them; IPv4 may be written as IPv6
 * @throws Error that names the entry that is neither an address nor a CIDR
 */
export function parseTrustedProxies(text: string): (address: string) => boolean {
  const trusted = new BlockList()
  for (const entry of text.split(',').map((part) => part.trim())) {
    const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? []
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    const longest = family === 'ipv6' ? 128 : 32
    const prefixLength = prefix === undefined ? longest : Number(prefix)
    if (isIP(address) === 0 || prefixLength > longest) {
      throw new Error(`${JSON.stringify(entry)} is not an address or CIDR`)
    }
    trusted.addSubnet(address, prefixLength, family)
  }
  return (address) => isIP(address) !== 0 && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}
