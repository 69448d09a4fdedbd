import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Answer, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender, sendTo } from '../../../support/sending.ts'
import { until } from '../../../support/until.ts'

/** Writes what no HTTP server would say, part after part, each in a segment of its own. */
const saying =
  (...parts: (string | Buffer)[]): Answer =>
  (_response, _request, socket) => {
    socket.setNoDelay(true)
    const next = (): void => {
      const part = parts.shift()
      if (part !== undefined) socket.write(part, () => setImmediate(next))
    }
    next()
  }

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const GONE = 'HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\ngone'
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'

describe('an interim response that nobody asked for', () => {
  it.each([
    ['100', CONTINUE],
    ['100 of HTTP/1.0, without a reason', 'HTTP/1.0 100\r\n\r\n'],
    ['100 with headers', 'HTTP/1.1 100 Continue\r\ncontent-length: 5\r\ndate: today\r\n\r\n'],
    ['100 with bare line feeds', 'HTTP/1.1 100 Continue\nx: y\n\n'],
    ['101', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['102', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['103', 'HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n'],
    ['104, and 199', 'HTTP/1.1 104 Upload Resumption\r\n\r\nHTTP/1.1 199 Whatever\r\n\r\n'],
    ['of 100 KiB', `HTTP/1.1 103 Early Hints\r\nx: ${'y'.repeat(102_400)}\r\n\r\n`],
    ['that is one of 10,000', CONTINUE.repeat(10_000)],
    ['with a line break after it', `${CONTINUE}\r\n`],
  ])('is read over: %s', async (_what, interim) => {
    const report = { status: 410, body: 'gone' }
    const together = await sendTo(saying(interim + GONE))
    expect(together.outcome).toMatchObject({ kind: 'rejected', reason: 'status 410', report })
    const apart = await sendTo(saying(interim, GONE))
    expect(apart.outcome).toMatchObject({ kind: 'rejected', reason: 'status 410', report })
    expect((await sendTo(saying(interim + OK))).outcome).toMatchObject({ kind: 'delivered' })
  })

  it('is read over wherever the network cuts it', async () => {
    const text = `${CONTINUE}HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n${GONE}`
    const { outcome } = await sendTo(saying(...text))
    expect(outcome).toMatchObject({ kind: 'rejected', report: { status: 410, body: 'gone' } })
  })

  it('leaves its connection fit for the next request', async () => {
    const receiver = await openReceiver((_response, _request, socket) =>
      saying(CONTINUE, OK)(_response, _request, socket),
    )
    const sender = openSender()
    for (let i = 0; i < 5; i += 1) {
      expect(await sender.send(delivery(receiver.url), never)).toMatchObject({ kind: 'delivered' })
    }
    expect(receiver.connections.length).toBeLessThan(5)
  })

  it.each([
    ['after the other', CONTINUE],
    ['that has no end', `HTTP/1.1 100 Continue\r\n${'x-more: 0123456789\r\n'.repeat(100)}`],
  ])('is bounded by the time-out: one %s', async (_what, more) => {
    const { outcome, receiver } = await sendTo(
      (_response, _request, socket) => {
        const write = (): void => {
          while (socket.write(more));
          socket.once('drain', write)
        }
        write()
      },
      { timeoutMs: 200 },
    )
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })

  it('is no response by itself', async () => {
    const { outcome } = await sendTo((_response, _request, socket) => socket.end(CONTINUE))
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'network',
      report: { error: 'UND_ERR_SOCKET: other side closed' },
    })
  })

  it('is no response either where what follows is another protocol', async () => {
    const { outcome } = await sendTo(
      saying(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n\x81\x05Hello, world',
      ),
    )
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'network' })
  })
})

describe('the status', () => {
  const kib = (count: number) => `x: ${'y'.repeat(1_020)}\r\n`.repeat(count)
  const endless: Answer = (_response, _request, socket) => {
    const more = (): void => {
      while (socket.write(kib(1)));
      socket.once('drain', more)
    }
    more()
  }

  it.each([17, 40, 63])(
    'decides with %i KiB of headers, of which those that matter are read',
    async (count) => {
      const headers = `${kib(count)}retry-after: 3\r\ncontent-length: 5\r\n`
      const failed = await sendTo(saying(`HTTP/1.1 503 Busy\r\n${headers}\r\nlater`))
      expect(failed.outcome).toMatchObject({
        reason: 'status 503',
        retryAfterMs: 3_000,
        report: { body: 'later' },
      })
      const fine = await sendTo(saying(`HTTP/1.1 200 OK\r\n${headers}\r\nthere`))
      expect(fine.outcome).toMatchObject({ kind: 'delivered' })
    },
  )

  it.each([
    [200, { kind: 'delivered' }],
    [410, { kind: 'rejected', reason: 'status 410' }],
    [503, { kind: 'failed', reason: 'status 503' }],
  ])('decides, %i, with more headers than are read', async (status, expected) => {
    const { outcome, receiver } = await sendTo((response, request, socket) => {
      socket.write(`HTTP/1.1 ${status} Whatever\r\n`)
      endless(response, request, socket)
    })
    expect(outcome).toMatchObject(expected)
    if (status !== 200) {
      expect(outcome).toMatchObject({
        report: { status, error: 'UND_ERR_HEADERS_OVERFLOW: Headers Overflow Error' },
      })
    }
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
  })

  it.each([
    ['a header that is none', 'HTTP/1.1 200 OK\r\nno header\r\n\r\n'],
    ['a length twice', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nthere'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nthere'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a control character', 'HTTP/1.1 200 OK\r\nx: a\u0000b\r\n\r\n'],
    ['bare line feeds', 'HTTP/1.1 200 OK\nx: y\n\n'],
    ['text that is not UTF-8', Buffer.from('HTTP/1.1 200 \xfcber\r\nx-\xfc: \xff\xfe\r\n\r\n', 'latin1')],
    ['no reason', 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nthere'],
    ['chunks that are none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
    ['a chunk cut short', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nth'],
    ['trailers', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthere\r\n0\r\nx: y\r\n\r\n'],
    [
      'trailers that are none',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n',
    ],
    ['more than its length', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nthere\r\nHTTP/1.1 500 No\r\n\r\n'],
    ['a coding that is unknown', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nthere'],
    ['a body of a 204', 'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nthere'],
  ])('decides, a 2xx, with %s, whether or not the connection then closes', async (_what, text) => {
    expect((await sendTo(saying(text))).outcome).toMatchObject({ kind: 'delivered' })
    const closing = await sendTo((_response, _request, socket) => socket.end(text))
    expect(closing.outcome).toMatchObject({ kind: 'delivered' })
  })

  it.each([true, false])(
    'decides when the answer comes while a large body is being sent (closed at once: %s)',
    async (isReset) => {
      const server = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.once('data', () => {
          socket.pause()
          socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nmuch', () => {
            if (isReset)
              socket.destroy() // with bytes unread: a reset
            else socket.end()
          })
        })
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      onTestFinished(() => void server.close())
      const { port } = server.address() as { port: number }
      const payload = JSON.stringify('x'.repeat(16_000_000))
      const outcome = await openSender().send(delivery(`http://127.0.0.1:${port}/`, {}, { payload }), never)
      expect(outcome).toMatchObject({ kind: 'rejected', reason: 'status 413', report: { body: 'much' } })
    },
  )
})

describe('a connection that the receiver closes as it is used again', () => {
  /** Answers the first request of each connection, and closes it upon the second as if that had crossed the close. */
  async function openHastyServer(close: (socket: Socket) => void) {
    const seen: number[] = []
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      const nth = sockets.push(socket)
      let requests = 0
      socket.on('error', () => undefined)
      socket.on('data', () => {
        seen.push(nth)
        requests += 1
        if (requests === 1) socket.write(OK)
        else close(socket)
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const { port } = server.address() as { port: number }
    return { url: `http://127.0.0.1:${port}/`, seen }
  }

  it.each([
    ['in order', (socket: Socket) => socket.end()],
    ['by a reset', (socket: Socket) => socket.resetAndDestroy()],
  ])('%s costs no attempt: the request goes over a new one', async (_what, close) => {
    const { url, seen } = await openHastyServer(close)
    const sender = openSender()
    // Two connections, both idle then, and each of them closed when it is used again.
    const first = await Promise.all([sender.send(delivery(url), never), sender.send(delivery(url), never)])
    expect(first.map(({ kind }) => kind)).toEqual(['delivered', 'delivered'])
    for (let i = 0; i < 2; i += 1) {
      await new Promise(setImmediate)
      expect(await sender.send(delivery(url), never)).toMatchObject({ kind: 'delivered' })
    }
    expect(seen.length).toBeGreaterThan(4)
  })

  it('is a failure where a part of a response came before', async () => {
    const { url } = await openHastyServer((socket) => socket.end('HTTP/1.1 2'))
    const sender = openSender()
    expect(await sender.send(delivery(url), never)).toMatchObject({ kind: 'delivered' })
    await new Promise(setImmediate)
    expect(await sender.send(delivery(url), never)).toMatchObject({ kind: 'failed', reason: 'network' })
  })

  it('is a failure where it was a new one', async () => {
    const { outcome, receiver } = await sendTo((_response, _request, socket) => socket.resetAndDestroy())
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'network' })
    expect(receiver.requests).toHaveLength(1)
  })
})
