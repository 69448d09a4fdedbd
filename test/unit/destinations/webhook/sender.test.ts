import { randomBytes } from 'node:crypto'
import diagnostics from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'
import net, { type AddressInfo, type LookupFunction, Socket } from 'node:net'
import tls from 'node:tls'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Outcome } from '../../../../src/destinations/delivery.ts'
import type { LookupAll } from '../../../../src/destinations/webhook/guarded-lookup.ts'
import { VERSION } from '../../../../src/runtime/version.ts'
import { answerWith, hang, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender, sendTo } from '../../../support/sending.ts'
import { until } from '../../../support/until.ts'

/** What is kept of an attempt, where a test is not about it. */
const attempt = { at: expect.any(Number), claim: 17, durationMs: expect.any(Number) }

/** Resolves when the sender has read that part of a response: a receiver cannot know. */
const read = (part: 'headers' | 'trailers') =>
  new Promise<void>((resolve) => {
    const channel = `undici:request:${part}`
    const onRead = () => {
      diagnostics.unsubscribe(channel, onRead)
      resolve()
    }
    diagnostics.subscribe(channel, onRead)
  })

/** Where nobody listens any more. */
async function closedPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const answering =
  (...addresses: string[]): LookupAll =>
  (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: net.isIP(address) })),
    )

describe('a webhook', () => {
  it('is the payload as JSON, with headers of the client and of ours', async () => {
    const receiver = await openReceiver(answerWith(200))
    const now = Date.UTC(2030, 0, 2, 3, 4, 9, 999)
    const headers = { Authorization: 'Bearer x', 'x-latin': 'grüße' }
    const sent = delivery(`${receiver.url}/hook?a=b%20c#part`, { headers })
    expect(await openSender({ now: () => now }).send(sent, never)).toEqual({ kind: 'delivered' })
    expect(receiver.requests).toEqual([
      {
        method: 'POST',
        path: '/hook?a=b%20c',
        body: '{"text":"grüße 🔔"}',
        rawHeaders: expect.anything(),
        at: expect.any(Number),
        headers: {
          host: `127.0.0.1:${receiver.port}`,
          connection: 'keep-alive',
          authorization: 'Bearer x',
          'x-latin': 'grüße',
          'content-type': 'application/json',
          'content-length': '23',
          'user-agent': `Carillon/${VERSION}`,
          'webhook-id': 'order-1',
          'webhook-timestamp': String(Date.UTC(2030, 0, 2, 3, 4, 9) / 1_000),
          'carillon-scheduled-for': '2030-01-02T03:04:05.006Z',
          'carillon-attempt': '3',
          'carillon-claim': '17',
          'carillon-late-ms': '12',
        },
      },
    ])
  })

  it('has the content-type and user-agent that the client wants', async () => {
    const headers = { 'Content-Type': 'application/cloudevents+json', 'USER-AGENT': 'me' }
    const { receiver } = await sendTo(answerWith(200), { headers })
    const names = receiver.requests[0]?.rawHeaders.filter((_, i) => i % 2 === 0)
    expect(names?.filter((name) => /^(content-type|user-agent)$/i.test(name))).toEqual([
      'Content-Type',
      'USER-AGENT',
    ])
    expect(receiver.requests[0]?.headers).toMatchObject({
      'content-type': 'application/cloudevents+json',
      'user-agent': 'me',
    })
  })

  it.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('is sent with %s and a body', async (method) => {
    const { outcome, receiver } = await sendTo(answerWith(204), { method })
    expect(outcome).toEqual({ kind: 'delivered' })
    expect(receiver.requests).toMatchObject([{ method, body: '{"text":"grüße 🔔"}' }])
  })

  it('is sent with GET without a body, and signed as such', async () => {
    const receiver = await openReceiver(answerWith(200))
    const secret = `whsec_${randomBytes(24).toString('base64')}`
    const sent = delivery(receiver.url, { method: 'GET' })
    expect(await openSender({ secrets: secret }).send(sent, never)).toEqual({ kind: 'delivered' })
    const [request] = receiver.requests
    expect(request).toMatchObject({ method: 'GET', body: '' })
    expect(request?.headers).not.toHaveProperty('content-type')
    expect(request?.headers).not.toHaveProperty('content-length')
    new Webhook(secret).verify('', { ...request?.headers } as Record<string, string>)
  })

  it('is signed with every secret, so that a receiver may have either', async () => {
    const receiver = await openReceiver(answerWith(200))
    const secrets = [24, 64].map((bytes) => `whsec_${randomBytes(bytes).toString('base64')}`)
    await openSender({ secrets: secrets.join(',') }).send(delivery(receiver.url), never)
    const [request] = receiver.requests
    const headers = request?.headers as Record<string, string>
    for (const secret of secrets) {
      expect(new Webhook(secret).verify(request?.body ?? '', headers)).toEqual({ text: 'grüße 🔔' })
    }
  })

  it('has the same webhook-id each time, without a full stop', async () => {
    const receiver = await openReceiver(answerWith(503))
    const secret = `whsec_${randomBytes(24).toString('base64')}`
    const sender = openSender({ secrets: secret })
    for (const [id, claim] of [
      ['order.1', 1],
      ['order.1', 2],
      ['order.2', 3],
      ['~0VknCBoMfN7U', 4],
    ] as const) {
      await sender.send(delivery(receiver.url, {}, { id, claim }), never)
    }
    const ids = receiver.requests.map(({ headers }) => headers['webhook-id'])
    expect(ids[0]).toMatch(/^sha256_[\w-]{43}$/)
    expect(ids[1]).toBe(ids[0])
    expect(ids[2]).toMatch(/^sha256_/)
    expect(ids[2]).not.toBe(ids[0])
    expect(ids[3]).toBe('~0VknCBoMfN7U')
    for (const { body, headers } of receiver.requests) {
      new Webhook(secret).verify(body, headers as Record<string, string>)
    }
  })
})

describe('a response', () => {
  it.each([200, 201, 202, 204, 299])('of %i acknowledges', async (status) => {
    expect((await sendTo(answerWith(status))).outcome).toEqual({ kind: 'delivered' })
  })

  it.each([408, 425, 429, 500, 502, 503, 504, 599])('of %i is tried again', async (status) => {
    const { outcome } = await sendTo(answerWith(status, {}, 'sorry'))
    expect(outcome).toEqual({
      kind: 'failed',
      reason: `status ${status}`,
      report: { ...attempt, status, body: 'sorry' },
    })
  })

  it.each([300, 304, 400, 401, 403, 404, 409, 410, 418, 422, 451, 499, 600])(
    'of %i is not tried again, whatever it says of later',
    async (status) => {
      const { outcome } = await sendTo(answerWith(status, { 'retry-after': '1' }))
      expect(outcome).toEqual({
        kind: 'rejected',
        reason: `status ${status}`,
        report: { ...attempt, status },
      })
    },
  )

  it('of 301 is not followed, and where it points to is kept', async () => {
    const { outcome, receiver } = await sendTo(answerWith(301, { location: '/elsewhere' }, 'moved'))
    expect(outcome).toEqual({
      kind: 'rejected',
      reason: 'status 301 to /elsewhere',
      report: { ...attempt, status: 301, body: 'moved' },
    })
    expect(receiver.requests).toHaveLength(1)
  })

  it('of another status has no Location in its reason', async () => {
    const { outcome } = await sendTo(answerWith(410, { location: '/elsewhere' }))
    expect(outcome).toMatchObject({ kind: 'rejected', reason: 'status 410' })
  })

  it('has its Location kept on one line of bounded length', async () => {
    const location = `https://example.com/\t\u0085${'x'.repeat(1_000)}`
    const { outcome } = await sendTo(answerWith(308, { location }))
    expect(outcome).toMatchObject({ kind: 'rejected' })
    const { reason } = outcome as Extract<Outcome, { reason: string }>
    expect(reason).toMatch(/^status 308 to https:\/\/example\.com\/ x+…$/)
    expect(reason).toHaveLength(200)
  })

  it.each([
    [429, '120', 120_000],
    [503, 'Wed, 02 Jan 2030 03:05:05 GMT', 60_000],
    [500, '0', 0],
    [408, '-1', 0],
    [425, 'Wed, 02 Jan 2030 03:00:00 GMT', 0],
  ])('of %i with Retry-After: %s says when', async (status, retryAfter, retryAfterMs) => {
    const receiver = await openReceiver(answerWith(status, { 'retry-after': retryAfter }))
    const now = () => Date.UTC(2030, 0, 2, 3, 4, 5)
    const outcome = await openSender({ now }).send(delivery(receiver.url), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: `status ${status}`, retryAfterMs })
    expect(outcome).toMatchObject({ report: { at: now() } })
  })

  it('with a Retry-After that cannot be read does not', async () => {
    const { outcome } = await sendTo(answerWith(429, { 'retry-after': 'soon' }))
    expect(outcome).toEqual({ kind: 'failed', reason: 'status 429', report: { ...attempt, status: 429 } })
  })

  it('acknowledges as soon as its headers are there, whatever becomes of its body', async () => {
    const { outcome } = await sendTo((response, _request, socket) => {
      read('headers').then(() => socket.resetAndDestroy())
      response.writeHead(200, { 'content-length': 1_000_000 }).write('x')
    })
    expect(outcome).toEqual({ kind: 'delivered' })
  })

  it('acknowledges before its body is there, which may take a while to set the connection free', async () => {
    const responses: ServerResponse[] = []
    const receiver = await openReceiver((response) => {
      responses.push(response.writeHead(200))
      response.write('x')
    })
    const sender = openSender()
    expect(await sender.send(delivery(receiver.url), never)).toEqual({ kind: 'delivered' })
    const whole = read('trailers')
    responses[0]?.end()
    await whole
    await new Promise(setImmediate) // undici takes the connection back in the next turn
    expect(await sender.send(delivery(receiver.url), never)).toEqual({ kind: 'delivered' })
    expect(receiver.connections).toHaveLength(1)
  })

  it.each([500, 60_000])(
    'that acknowledges does not hold its connection by a body without end, with %i ms to go',
    async (timeoutMs) => {
      const { outcome, receiver } = await sendTo(
        (response) => {
          response.writeHead(200).write('x')
        },
        { timeoutMs },
      )
      expect(outcome).toEqual({ kind: 'delivered' })
      const begunAt = performance.now()
      await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
      if (timeoutMs === 500) expect(performance.now() - begunAt).toBeLessThan(900)
    },
  )

  it.each([200, 500])('of %i has 1 KiB of its body read, however large it is', async (status) => {
    const { outcome, receiver } = await sendTo((response) => {
      response.writeHead(status)
      const more = () => {
        while (response.write('0123456789abcdef'.repeat(1_024)));
        response.once('drain', more)
      }
      more()
    })
    if (status === 500) {
      const report = { ...attempt, status, body: '0123456789abcdef'.repeat(64) }
      expect(outcome).toEqual({ kind: 'failed', reason: 'status 500', report })
    } else expect(outcome).toEqual({ kind: 'delivered' })
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })

  it('keeps text of its body, though it is cut within a character or no text at all', async () => {
    const { outcome } = await sendTo((response) => {
      response
        .writeHead(500)
        .end(Buffer.concat([Buffer.from([0xff, 0x00, 0x41]), Buffer.from('é'.repeat(600))]))
    })
    const { report } = outcome as Extract<Outcome, { report: object }>
    expect(report.body).toBe(`\ufffd\u0000A${'é'.repeat(510)}\ufffd`)
  })

  it('decides by its status, though its body is cut off', async () => {
    const { outcome } = await sendTo((response, _request, socket) => {
      read('headers').then(() => socket.resetAndDestroy())
      response.writeHead(410, { 'content-length': 1_000 }).write('gone')
    })
    expect(outcome).toEqual({
      kind: 'rejected',
      reason: 'status 410',
      report: { ...attempt, status: 410, body: 'gone' },
    })
  })

  it('decides by its status when its body does not end in time', async () => {
    const begunAt = performance.now()
    const { outcome, receiver } = await sendTo(
      (response) => {
        response.writeHead(503).write('.')
        const timer = setInterval(() => response.write('.'), 10)
        response.on('close', () => clearInterval(timer))
      },
      { timeoutMs: 500 },
    )
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'status 503',
      report: { status: 503, body: expect.stringMatching(/^\.+$/) },
    })
    expect(performance.now() - begunAt).toBeGreaterThanOrEqual(495)
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })
})

describe('no response', () => {
  it('in time is a failure', async () => {
    const { outcome, receiver } = await sendTo(hang, { timeoutMs: 100 })
    expect(outcome).toEqual({
      kind: 'failed',
      reason: 'timeout',
      report: { ...attempt, error: expect.stringMatching(/^there was no response within \d+ ms$/) },
    })
    const { report } = outcome as Extract<Outcome, { report: object }>
    expect(report.durationMs).toBeGreaterThanOrEqual(99)
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.connections).toHaveLength(1) // and no other is opened for it
  })

  it('is waited for 15 s unless the message says otherwise', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    await sendTo(answerWith(200))
    expect(timers.mock.calls.map(([, ms]) => ms)).toContain(15_000)
  })

  it('in time is one too when headers trickle', async () => {
    const { outcome } = await sendTo(
      (response, _request, socket) => {
        socket.write('HTTP/1.1 200 OK\r\n')
        const timer = setInterval(() => socket.write('x-more: 1\r\n'), 10)
        socket.on('close', () => clearInterval(timer))
        response.on('close', () => clearInterval(timer))
      },
      { timeoutMs: 150 },
    )
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
  })

  it('in time is one too when the name is not looked up', async () => {
    const sender = openSender({ lookup: () => undefined })
    const outcome = await sender.send(delivery('http://example.com/', { timeoutMs: 100 }), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
  })

  it('in time is one too when nothing is connected to, which is given up then', async () => {
    const socket = new Socket()
    const connects = vi.spyOn(net, 'connect').mockImplementation(() => socket)
    onTestFinished(() => connects.mockRestore())
    const outcome = await openSender().send(delivery('http://127.0.0.1:1/', { timeoutMs: 100 }), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
    expect(socket.destroyed).toBe(true)
  })

  it('in time means that the request is not sent later either', async () => {
    const receiver = await openReceiver(answerWith(200))
    // One that connects in spite of all.
    const socket = new Socket()
    const destroy = vi.spyOn(socket, 'destroy').mockReturnValueOnce(socket)
    const connects = vi.spyOn(net, 'connect').mockImplementationOnce(() => socket)
    onTestFinished(() => connects.mockRestore())
    const outcome = await openSender().send(delivery(receiver.url, { timeoutMs: 100 }), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
    expect(destroy).toHaveBeenCalledTimes(1)
    socket.connect(receiver.port, '127.0.0.1')
    await until('it is connected and closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.connections[0]?.bytesRead).toBe(0)
    expect(receiver.requests).toEqual([])
  })

  it.each([
    [
      'is cut off',
      (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-le'),
      'UND_ERR_SOCKET: other side closed',
    ],
    ['does not come', (socket: Socket) => socket.end(), 'UND_ERR_SOCKET: other side closed'],
    ['is a reset', (socket: Socket) => socket.resetAndDestroy(), /ECONNRESET/],
    [
      'is not HTTP',
      (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'),
      /^Response does not match the HTTP\/1.1 protocol/,
    ],
  ])('that %s is a network error', async (_what, answer, error) => {
    const { outcome } = await sendTo((_response, _request, socket) => void answer(socket))
    const matching = typeof error === 'string' ? error : expect.stringMatching(error)
    expect(outcome).toEqual({ kind: 'failed', reason: 'network', report: { ...attempt, error: matching } })
  })

  it('is a network error where nobody listens', async () => {
    const port = await closedPort()
    const sender = openSender({ allow: '127.0.0.0/8', lookup: answering('127.0.0.1', '127.0.0.2') })
    expect(await sender.send(delivery(`http://127.0.0.1:${port}/`), never)).toEqual({
      kind: 'failed',
      reason: 'network',
      report: { ...attempt, error: `connect ECONNREFUSED 127.0.0.1:${port}` },
    })
    expect(await sender.send(delivery(`http://example.com:${port}/`), never)).toMatchObject({
      reason: 'network',
      report: {
        error: `connect ECONNREFUSED 127.0.0.1:${port}; connect ECONNREFUSED 127.0.0.2:${port}`,
      },
    })
  })

  it('is a network error where a name is unknown, told on one line of bounded length', async () => {
    const words = `queryA\r\n\u2028example.com ${'x'.repeat(1_000)}`
    const failure = Object.assign(new Error(words), { code: 'EAI_AGAIN' })
    const sender = openSender({ lookup: (_hostname, _options, callback) => callback(failure, undefined) })
    const outcome = await sender.send(delivery('http://example.com/'), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'network' })
    const { report } = outcome as Extract<Outcome, { report: object }>
    expect(report.error).toMatch(/^EAI_AGAIN: queryA example\.com x+…$/)
    expect(report.error).toHaveLength(500)
  })

  it('is a network error where TLS is not spoken', async () => {
    const receiver = await openReceiver(hang)
    const outcome = await openSender().send(delivery(receiver.url.replace('http:', 'https:')), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'network' })
    expect(receiver.requests).toEqual([])
  })
})

describe('a delivery that is broken off', () => {
  it('before it begins is returned, and not begun', async () => {
    const receiver = await openReceiver(answerWith(200))
    const outcome = await openSender().send(delivery(receiver.url), AbortSignal.abort())
    expect(outcome).toEqual({ kind: 'returned' })
    expect(receiver.connections).toEqual([])
  })

  it('while it waits is returned, and its connection closed', async () => {
    const receiver = await openReceiver(hang)
    const abort = new AbortController()
    const outcome = openSender().send(delivery(receiver.url), abort.signal)
    await until('it has arrived', () => receiver.requests.length === 1)
    abort.abort()
    expect(await outcome).toEqual({ kind: 'returned' })
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.connections).toHaveLength(1)
  })

  it('while its name is looked up is returned', async () => {
    const abort = new AbortController()
    const sender = openSender({ lookup: () => setImmediate(() => abort.abort()) })
    expect(await sender.send(delivery('http://example.com/'), abort.signal)).toEqual({ kind: 'returned' })
  })

  it('after the status is known ends as that says', async () => {
    const abort = new AbortController()
    const receiver = await openReceiver((response) => {
      response.writeHead(410).write('x')
    })
    const headers = read('headers')
    const outcome = openSender().send(delivery(receiver.url), abort.signal)
    await headers
    abort.abort()
    expect(await outcome).toMatchObject({ kind: 'rejected', reason: 'status 410' })
  })

  it('by closing is returned, and so is what comes later', async () => {
    const receiver = await openReceiver(hang)
    const sender = openSender()
    const outcome = sender.send(delivery(receiver.url), never)
    await until('it has arrived', () => receiver.requests.length === 1)
    await sender.close()
    expect(await outcome).toEqual({ kind: 'returned' })
    expect(await sender.send(delivery(receiver.url), never)).toEqual({ kind: 'returned' })
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.connections).toHaveLength(1)
  })

  it('by closing gives up what has not connected yet', async () => {
    const socket = new Socket()
    const connects = vi.spyOn(net, 'connect').mockImplementation(() => socket)
    onTestFinished(() => connects.mockRestore())
    const sender = openSender()
    const outcome = sender.send(delivery('http://127.0.0.1:1/'), never)
    await sender.close()
    expect(await outcome).toEqual({ kind: 'returned' })
    expect(socket.destroyed).toBe(true)
  })

  it('leaves nothing at the signal it was given', async () => {
    const receiver = await openReceiver(answerWith(200))
    const { signal } = new AbortController()
    const removed = vi.spyOn(signal, 'removeEventListener')
    const added = vi.spyOn(signal, 'addEventListener')
    await openSender().send(delivery(receiver.url), signal)
    expect(added).toHaveBeenCalledTimes(1)
    expect(removed).toHaveBeenCalledWith(...(added.mock.calls[0] ?? []))
  })
})

describe('a message that could not have been scheduled', () => {
  it.each([
    ['a URL that cannot be read', 'nonsense', {}],
    ['another scheme', 'ftp://127.0.0.1/', {}],
    ['a header that cannot be sent', 'http://127.0.0.1:1/', { headers: { 'x-a': 'a\r\nb: c' } }],
    ['a header that undici refuses', 'http://127.0.0.1:1/', { headers: { expect: '100-continue' } }],
  ])('is rejected: %s', async (_what, url, target) => {
    const outcome = await openSender().send(delivery(url, target), never)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: 'invalid request' })
  })
})

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
      expect(outcome).toEqual({ kind: 'delivered' })
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
    expect(await sender.send(delivery(`${receiver.url}/`), never)).toEqual({ kind: 'delivered' })
    for (const abort of aborts) abort.abort()
    expect(new Set((await Promise.all(hanging)).map(({ kind }) => kind))).toEqual(new Set(['returned']))
  })

  it('are closed with the sender, though no request runs', async () => {
    const receiver = await openReceiver(answerWith(200, { 'keep-alive': 'timeout=60' }))
    const sender = openSender()
    expect(await sender.send(delivery(receiver.url), never)).toEqual({ kind: 'delivered' })
    expect(receiver.connections[0]?.destroyed).toBe(false)
    await sender.close()
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })

  it('do not fail the next request when the receiver has closed them', async () => {
    const receiver = await openReceiver(answerWith(200))
    const sender = openSender()
    for (let i = 0; i < 3; i += 1) {
      expect(await sender.send(delivery(receiver.url), never)).toEqual({ kind: 'delivered' })
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
    report: { ...attempt, error: expect.stringContaining('leads to no address that webhooks may reach') },
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
    expect(await sender.send(delivery('http://example.com/'), never)).toEqual({ kind: 'delivered' })
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
    expect(await sender.send(delivery(url), never)).toEqual({ kind: 'delivered' })
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
