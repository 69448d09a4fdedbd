import net, { type LookupFunction, Socket } from 'node:net'
import tls from 'node:tls'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { LookupAll } from '../../../../src/destinations/webhook/guarded-lookup.ts'
import { answerWith, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender } from '../../../support/sending.ts'
import { until } from '../../../support/until.ts'
import { answering, attempt } from '../../../support/webhook-attempts.ts'

describe('connections', () => {
  it('are used again, without another look-up, and so after a body of some KiB', async () => {
    const receiver = await openReceiver(answerWith(200, {}, 'x'.repeat(4_096)))
    let lookups = 0
    const lookup: LookupAll = (_hostname, _options, callback) => {
      lookups += 1
      callback(null, [{ address: '127.0.0.1', family: 4 }])
    }
    const sender = openSender({ lookup })
    for (let i = 0; i < 10; i += 1) {
      const outcome = await sender.send(delivery(`http://example.com:${receiver.port}/`), never)
      expect(outcome).toMatchObject({ kind: 'delivered' })
    }
    // undici takes a connection back a little later than its response is here: two take turns.
    expect(receiver.connections.length).toBeLessThanOrEqual(2)
    expect(lookups).toBe(receiver.connections.length)
  })

  it('are one for each request that runs, so that those that hang hold up no other', async () => {
    const receiver = await openReceiver((response, { path }) => {
      if (path === '/') response.end()
    })
    const sender = openSender()
    const aborts = Array.from({ length: 50 }, () => new AbortController())
    const hanging = aborts.map(({ signal }) => sender.send(delivery(`${receiver.url}/hang`), signal))
    await until('all have arrived', () => receiver.requests.length === 50)
    expect(await sender.send(delivery(`${receiver.url}/`), never)).toMatchObject({ kind: 'delivered' })
    for (const abort of aborts) abort.abort()
    expect(new Set((await Promise.all(hanging)).map(({ kind }) => kind))).toEqual(new Set(['returned']))
  })

  it('are closed with the sender, though no request runs', async () => {
    const receiver = await openReceiver(answerWith(200, { 'keep-alive': 'timeout=60' }))
    const sender = openSender()
    expect(await sender.send(delivery(receiver.url), never)).toMatchObject({ kind: 'delivered' })
    expect(receiver.connections[0]?.destroyed).toBe(false)
    await sender.close()
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })

  it('do not fail the next request when the receiver has closed them', async () => {
    const receiver = await openReceiver(answerWith(200))
    const sender = openSender()
    for (let i = 0; i < 3; i += 1) {
      expect(await sender.send(delivery(receiver.url), never)).toMatchObject({ kind: 'delivered' })
      receiver.connections.at(-1)?.end()
      await until('it is closed', () => receiver.connections.at(-1)?.destroyed === true)
    }
    expect(receiver.connections).toHaveLength(3)
  })
})

describe('addresses that are not public', () => {
  const NOT_ALLOWED = {
    kind: 'rejected',
    reason: 'address not allowed',
    report: {
      ...attempt,
      error: expect.stringContaining('does not resolve to an address that webhooks may reach'),
    },
  }

  /**
   * All the world, within this machine: whatever address a socket is told to connect to, it reaches the receiver.
   * @param seenAs the address that a socket believes it is connected to
   */
  function pretendInternet(port: number, seenAs: (told: string) => string | undefined = (told) => told) {
    const dialled: string[] = []
    const pretend = ({ host, lookup }: { host: string; lookup: LookupFunction }) => {
      const socket = new Socket()
      const dial = (told = '') => {
        dialled.push(told)
        Object.defineProperty(socket, 'remoteAddress', { value: seenAs(told) })
        socket.connect({ port, host: '127.0.0.1' })
      }
      if (net.isIP(host) !== 0) dial(host)
      else {
        lookup(host, { all: true }, (error, addresses) => {
          if (error !== null) socket.destroy(error)
          else dial((addresses as { address: string }[])[0]?.address)
        })
      }
      return socket
    }
    for (const room of [net, tls]) {
      const connects = vi.spyOn(room as typeof net, 'connect').mockImplementation(pretend as never)
      onTestFinished(() => connects.mockRestore())
    }
    return dialled
  }

  it.each([
    '127.0.0.1',
    '127.0.0.1.',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::1]',
    'user:secret@127.0.0.1',
    'example.com@127.0.0.1',
    'localhost',
  ])('are not connected to: %s', async (host) => {
    const receiver = await openReceiver(answerWith(200))
    const sender = openSender({ allow: '' })
    for (const scheme of ['http', 'https']) {
      expect(await sender.send(delivery(`${scheme}://${host}:${receiver.port}/`), never)).toEqual(NOT_ALLOWED)
    }
    expect(receiver.connections).toEqual([])
  })

  it.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
    'are not connected to under any name: %s',
    async (address) => {
      const receiver = await openReceiver(answerWith(200))
      const sender = openSender({ allow: '192.168.0.0/16,other.example', lookup: answering(address) })
      for (const scheme of ['http', 'https']) {
        const sent = delivery(`${scheme}://example.com:${receiver.port}/`)
        expect(await sender.send(sent, never)).toEqual(NOT_ALLOWED)
      }
      expect(receiver.connections).toEqual([])
    },
  )

  it.each(['10.0.0.1', '169.254.169.254', 'fd00:ec2::254', '64:ff9b::127.0.0.1', '::127.0.0.1'])(
    'are not connected to anywhere else either: %s',
    async (address) => {
      const receiver = await openReceiver(answerWith(200))
      const dialled = pretendInternet(receiver.port)
      const sender = openSender({ allow: '', lookup: answering(address) })
      const literal = net.isIPv6(address) ? `[${address}]` : address
      for (const url of ['http://example.com/', 'https://example.com/', `http://${literal}/`]) {
        expect(await sender.send(delivery(url, { timeoutMs: 1_000 }), never)).toEqual(NOT_ALLOWED)
      }
      expect(dialled).toEqual([])
    },
  )

  it('are connected to where WEBHOOK_ALLOW has the name or the address', async () => {
    const receiver = await openReceiver(answerWith(200))
    const lookup = answering('127.0.0.1')
    const url = `http://hooks.internal:${receiver.port}/`
    const outcomes = []
    for (const allow of ['hooks.internal', '127.0.0.0/8', 'internal', '10.0.0.0/8']) {
      outcomes.push((await openSender({ allow, lookup }).send(delivery(url), never)).kind)
    }
    expect(outcomes).toEqual(['delivered', 'delivered', 'rejected', 'rejected'])
    expect(receiver.requests).toHaveLength(2)
  })

  it('are left out where a name leads to others too', async () => {
    const receiver = await openReceiver(answerWith(200))
    const dialled = pretendInternet(receiver.port)
    const sender = openSender({ allow: '', lookup: answering('10.0.0.1', '93.184.216.34', '127.0.0.1') })
    expect(await sender.send(delivery('http://example.com/'), never)).toMatchObject({ kind: 'delivered' })
    expect(dialled).toEqual(['93.184.216.34'])
  })

  it('are not connected to by a name that led to a public one first', async () => {
    const receiver = await openReceiver(answerWith(200, { connection: 'close' }))
    const answers = ['93.184.216.34', '127.0.0.1']
    const sender = openSender({
      allow: '',
      lookup: (hostname, options, callback) => answering(answers.shift() ?? '')(hostname, options, callback),
    })
    const dialled = pretendInternet(receiver.port)
    const url = `http://rebinding.example:${receiver.port}/`
    expect(await sender.send(delivery(url), never)).toMatchObject({ kind: 'delivered' })
    expect(await sender.send(delivery(url), never)).toEqual(NOT_ALLOWED)
    expect(answers).toEqual([])
    expect(dialled).toEqual(['93.184.216.34'])
    expect(receiver.connections).toHaveLength(1)
  })

  it('are told nothing, should a socket end up there though it was told otherwise', async () => {
    const receiver = await openReceiver(answerWith(200))
    const dialled = pretendInternet(receiver.port, () => '127.0.0.1')
    const sender = openSender({ allow: '', lookup: answering('93.184.216.34') })
    expect(await sender.send(delivery('http://example.com/'), never)).toEqual(NOT_ALLOWED)
    expect(dialled).toEqual(['93.184.216.34'])
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.requests).toEqual([])
    expect(receiver.connections[0]?.bytesRead).toBe(0)
  })

  it('are not blamed for a connection that is closed as soon as it is open', async () => {
    const receiver = await openReceiver(answerWith(200))
    pretendInternet(receiver.port, () => undefined)
    const sender = openSender({ allow: '', lookup: answering('93.184.216.34') })
    expect(await sender.send(delivery('http://example.com/'), never)).toMatchObject({
      kind: 'failed',
      reason: 'network',
    })
    expect(receiver.requests).toEqual([])
  })
})
