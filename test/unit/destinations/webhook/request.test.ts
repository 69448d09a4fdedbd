import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { VERSION } from '../../../../src/runtime/version.ts'
import { answerWith, openReceiver } from '../../../support/receiver.ts'
import { delivery, never, openSender, sendTo } from '../../../support/sending.ts'

describe('a webhook', () => {
  it('is the payload as JSON, with headers of the client and of ours', async () => {
    const receiver = await openReceiver(answerWith(200))
    const now = Date.UTC(2030, 0, 2, 3, 4, 9, 999)
    const headers = { Authorization: 'Bearer x', 'x-latin': 'grüße' }
    const sent = delivery(`${receiver.url}/hook?a=b%20c#part`, { headers })
    expect(await openSender({ now: () => now }).send(sent, never)).toMatchObject({ kind: 'delivered' })
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
    expect(outcome).toMatchObject({ kind: 'delivered' })
    expect(receiver.requests).toMatchObject([{ method, body: '{"text":"grüße 🔔"}' }])
  })

  it('is sent with GET without a body, and signed as such', async () => {
    const receiver = await openReceiver(answerWith(200))
    const secret = `whsec_${randomBytes(24).toString('base64')}`
    const sent = delivery(receiver.url, { method: 'GET' })
    expect(await openSender({ secrets: secret }).send(sent, never)).toMatchObject({ kind: 'delivered' })
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
