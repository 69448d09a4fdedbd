import net, { Socket } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Outcome } from '../../../../src/destinations/delivery.ts'
import { answerWith, hang, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender, sendTo } from '../../../support/sending.ts'
import { until } from '../../../support/until.ts'
import { answering, attempt, closedPort, readBySender } from '../../../support/webhook-attempts.ts'

describe('no response', () => {
  it('is a failure after the time limit', async () => {
    const { outcome, receiver } = await sendTo(hang, { timeoutMs: 100 })
    expect(outcome).toEqual({
      kind: 'failed',
      reason: 'timeout',
      report: { ...attempt, error: expect.stringMatching(/^no response within \d+ ms$/) },
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

  it('is a failure, too, when headers trickle past the time limit', async () => {
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

  it('is a failure, too, when the name look-up takes too long', async () => {
    const sender = openSender({ lookup: () => undefined })
    const outcome = await sender.send(delivery('http://example.com/', { timeoutMs: 100 }), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
  })

  it('is a failure, too, when connecting takes too long, which is then given up', async () => {
    const socket = new Socket()
    const connects = vi.spyOn(net, 'connect').mockImplementation(() => socket)
    onTestFinished(() => connects.mockRestore())
    const outcome = await openSender().send(delivery('http://127.0.0.1:1/', { timeoutMs: 100 }), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' })
    expect(socket.destroyed).toBe(true)
  })

  it('is final: the request is not sent later either', async () => {
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
  ])('is a network error from a receiver that %s', async (_what, answer, error) => {
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
  it('is returned and never begins if it is cancelled before', async () => {
    const receiver = await openReceiver(answerWith(200))
    const outcome = await openSender().send(delivery(receiver.url), AbortSignal.abort())
    expect(outcome).toEqual({ kind: 'returned' })
    expect(receiver.connections).toEqual([])
  })

  it('is returned while it waits, and its connection closed', async () => {
    const receiver = await openReceiver(hang)
    const abort = new AbortController()
    const outcome = openSender().send(delivery(receiver.url), abort.signal)
    await until('it has arrived', () => receiver.requests.length === 1)
    abort.abort()
    expect(await outcome).toEqual({ kind: 'returned' })
    await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
    expect(receiver.connections).toHaveLength(1)
  })

  it('is returned during the name look-up', async () => {
    const abort = new AbortController()
    const sender = openSender({ lookup: () => setImmediate(() => abort.abort()) })
    expect(await sender.send(delivery('http://example.com/'), abort.signal)).toEqual({ kind: 'returned' })
  })

  it('ends as the status says once that is known', async () => {
    const abort = new AbortController()
    const receiver = await openReceiver((response) => {
      response.writeHead(410).write('x')
    })
    const headers = readBySender('headers')
    const outcome = openSender().send(delivery(receiver.url), abort.signal)
    await headers
    abort.abort()
    expect(await outcome).toMatchObject({ kind: 'rejected', reason: 'status 410' })
  })

  it('is returned when the sender closes, and so is what comes later', async () => {
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

  it('gives up connecting when the sender closes', async () => {
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
