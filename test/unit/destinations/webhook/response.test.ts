import type { ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../../../src/destinations/delivery.ts'
import { answerWith, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender, sendTo } from '../../../support/sending.ts'
import { machineMs } from '../../../support/speed.ts'
import { until } from '../../../support/until.ts'
import { attempt, readBySender } from '../../../support/webhook-attempts.ts'

describe('a response', () => {
  it.each([200, 201, 202, 204, 299])('acknowledges with %i', async (status) => {
    expect((await sendTo(answerWith(status))).outcome).toMatchObject({ kind: 'delivered' })
  })

  it.each([408, 425, 429, 500, 502, 503, 504, 599])('leads to a retry with %i', async (status) => {
    const { outcome } = await sendTo(answerWith(status, {}, 'sorry'))
    expect(outcome).toEqual({
      kind: 'failed',
      reason: `status ${status}`,
      report: { ...attempt, status, body: 'sorry' },
    })
  })

  it.each([300, 304, 400, 401, 403, 404, 409, 410, 418, 422, 451, 499, 600])(
    'leads to no retry with %i, even with a Retry-After',
    async (status) => {
      const { outcome } = await sendTo(answerWith(status, { 'retry-after': '1' }))
      expect(outcome).toEqual({
        kind: 'rejected',
        reason: `status ${status}`,
        report: { ...attempt, status },
      })
    },
  )

  it('is not followed with 301, and its Location is kept', async () => {
    const { outcome, receiver } = await sendTo(answerWith(301, { location: '/elsewhere' }, 'moved'))
    expect(outcome).toEqual({
      kind: 'rejected',
      reason: 'status 301 to /elsewhere',
      report: { ...attempt, status: 301, body: 'moved' },
    })
    expect(receiver.requests).toHaveLength(1)
  })

  it('has no Location in its reason with another status', async () => {
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
  ])('sets the time of the retry with %i and Retry-After: %s', async (status, retryAfter, retryAfterMs) => {
    const receiver = await openReceiver(answerWith(status, { 'retry-after': retryAfter }))
    const now = () => Date.UTC(2030, 0, 2, 3, 4, 5)
    const outcome = await openSender({ now }).send(delivery(receiver.url), never)
    expect(outcome).toMatchObject({ kind: 'failed', reason: `status ${status}`, retryAfterMs })
    expect(outcome).toMatchObject({ report: { at: now() } })
  })

  it('sets no time of the retry with an unreadable Retry-After', async () => {
    const { outcome } = await sendTo(answerWith(429, { 'retry-after': 'soon' }))
    expect(outcome).toEqual({ kind: 'failed', reason: 'status 429', report: { ...attempt, status: 429 } })
  })

  it('acknowledges as soon as its headers are there, whatever becomes of its body', async () => {
    const { outcome } = await sendTo((response, _request, socket) => {
      readBySender('headers').then(() => socket.resetAndDestroy())
      response.writeHead(200, { 'content-length': 1_000_000 }).write('x')
    })
    expect(outcome).toMatchObject({ kind: 'delivered' })
  })

  it('acknowledges before its body is there, which may take a while to set the connection free', async () => {
    const responses: ServerResponse[] = []
    const receiver = await openReceiver((response) => {
      responses.push(response.writeHead(200))
      response.write('x')
    })
    const sender = openSender()
    expect(await sender.send(delivery(receiver.url), never)).toMatchObject({ kind: 'delivered' })
    const whole = readBySender('trailers')
    responses[0]?.end()
    await whole
    await new Promise(setImmediate) // undici takes the connection back in the next turn
    expect(await sender.send(delivery(receiver.url), never)).toMatchObject({ kind: 'delivered' })
    expect(receiver.connections).toHaveLength(1)
  })

  it.each([500, 60_000])(
    'does not hold its connection after it acknowledged by an endless body, with %i ms left',
    async (timeoutMs) => {
      const { outcome, receiver } = await sendTo(
        (response) => {
          response.writeHead(200).write('x')
        },
        { timeoutMs },
      )
      expect(outcome).toMatchObject({ kind: 'delivered' })
      const begunAt = performance.now()
      await until('the connection is closed', () => receiver.connections[0]?.destroyed === true)
      if (timeoutMs === 500) expect(machineMs(begunAt)).toBeLessThan(900)
    },
  )

  it.each([200, 500])('has 1 KiB of its body read with %i, however large it is', async (status) => {
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
    } else expect(outcome).toMatchObject({ kind: 'delivered' })
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
      readBySender('headers').then(() => socket.resetAndDestroy())
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
