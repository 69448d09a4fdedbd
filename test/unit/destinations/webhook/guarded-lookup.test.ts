import type { LookupAddress, LookupOptions } from 'node:dns'
import { describe, expect, it } from 'vitest'
import { parseAllowList } from '../../../../src/destinations/webhook/addresses.ts'
import { createGuardedLookup, type LookupAll } from '../../../../src/destinations/webhook/guarded-lookup.ts'

const NOTHING = parseAllowList('')
const PUBLIC = { address: '93.184.216.34', family: 4 }
const PUBLIC_6 = { address: '2606:4700::1', family: 6 }
const PRIVATE = { address: '10.0.0.1', family: 4 }

const answering =
  (...addresses: LookupAddress[]): LookupAll =>
  (_hostname, _options, callback) =>
    callback(null, addresses)

/** What a socket is told. */
const ask = (lookup: LookupAll, options: LookupOptions = { all: true }) =>
  new Promise<unknown[]>((resolve) => {
    createGuardedLookup(NOTHING, lookup)('example.com', options, (...told) => resolve(told))
  })

describe('the guarded look-up', () => {
  it('tells all addresses that are allowed, and no others', async () => {
    const lookup = answering(PRIVATE, PUBLIC_6, { address: '::ffff:127.0.0.1', family: 6 }, PUBLIC)
    expect(await ask(lookup)).toEqual([null, [PUBLIC_6, PUBLIC]])
  })

  it('tells the first one that is allowed when asked for one', async () => {
    expect(await ask(answering(PRIVATE, PUBLIC), {})).toEqual([null, PUBLIC.address, 4])
  })

  it.each([{ all: true }, {}])(
    'fails when none is allowed, and does not say which there were',
    async (options) => {
      const [error] = await ask(answering(PRIVATE), options)
      expect(error).toMatchObject({
        name: 'AddressNotAllowedError',
        message: 'example.com does not resolve to an address that webhooks may reach',
      })
    },
  )

  it('passes failures on', async () => {
    const failure = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
    const [error] = await ask((_hostname, _options, callback) => callback(failure, undefined))
    expect(error).toBe(failure)
  })

  it('asks for a name once at a time, and afresh once it is answered', () => {
    const asked: string[] = []
    const answers: (() => void)[] = []
    const lookup = createGuardedLookup(NOTHING, (hostname, _options, callback) => {
      asked.push(hostname)
      answers.push(() => callback(null, [PUBLIC]))
    })
    const told: string[] = []
    const askFor = (hostname: string) => lookup(hostname, { all: true }, () => told.push(hostname))
    for (const hostname of ['a.example', 'b.example', 'a.example']) askFor(hostname)
    expect(asked).toEqual(['a.example', 'b.example'])
    answers[0]?.()
    expect(told).toEqual(['a.example', 'a.example'])
    askFor('a.example')
    expect(asked).toEqual(['a.example', 'b.example', 'a.example'])
  })
})
