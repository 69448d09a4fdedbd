import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import type { MessageReply } from '../../../src/http/v1/messages/schemas.ts'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'
import {
  ALLOWED,
  AT_ONCE,
  attemptsOf,
  expectGrowingClaims,
  holding,
  lookUp,
  SHORT_LOCKS,
  scheduleWebhook,
  untilIs,
} from '../../support/webhook-messages.ts'

const SECRETS = [24, 64].map((bytes) => `whsec_${Buffer.alloc(bytes, bytes).toString('base64')}`)
const OTHER_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

describe('a webhook', () => {
  it('is sent once, by one of three servers, signed with each secret', async () => {
    const receiver = await openReceiver(answerWith(204))
    const fleet = await startFleet({ size: 3, env: { ...ALLOWED, WEBHOOK_SECRETS: SECRETS.join(',') } })
    const [first] = fleet.servers as [Service]
    const at = new Date(await first.soon(60)).toISOString()
    const ids = Array.from({ length: 60 }, (_, i) => `hook-${i}`)
    await Promise.all(ids.map((id) => scheduleWebhook(first, `${receiver.url}/in?a=1`, { id, at })))
    for (const id of ids) {
      const delivered = await untilIs(first, id, { status: 'delivered' })
      expect(delivered).toMatchObject({ attempts: 0, recoveries: 0 })
      expect(delivered).not.toHaveProperty('reason')
    }
    // All that any of them would have sent.
    expect(await Promise.all(fleet.servers.map((server) => server.end()))).toEqual([0, 0, 0])

    expect(receiver.requests.map(({ headers }) => headers['webhook-id']).sort()).toEqual(ids.sort())
    for (const { method, path, headers, body } of receiver.requests) {
      expect({ method, path, body }).toEqual({ method: 'POST', path: '/in?a=1', body: '{"text":"grüße 🔔"}' })
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'carillon-scheduled-for': at,
        'carillon-attempt': '1',
        'carillon-claim': expect.stringMatching(/^[1-9]\d*$/),
        'carillon-late-ms': expect.stringMatching(/^\d+$/),
      })
      const signed = headers as Record<string, string>
      for (const secret of SECRETS) {
        expect(new Webhook(secret).verify(body, signed)).toEqual({ text: 'grüße 🔔' })
      }
      expect(() => new Webhook(OTHER_SECRET).verify(body, signed)).toThrow(/signature/)
    }
    // Each shard counts its claims.
    const claims = receiver.requests.map(({ headers }) => {
      const shard = shardOfClientId(String(headers['webhook-id']), fleet.shards)
      return `${shard} ${headers['carillon-claim']}`
    })
    expect(new Set(claims).size).toBe(60)
  })

  it('is tried again after longer and longer waits when it fails, and then delivered', async () => {
    let failures = 0
    const receiver = await openReceiver((response) => {
      failures += 1
      if (failures > 2) response.writeHead(200).end('thanks')
      else response.writeHead(503).end(`busy ${failures}`)
    })
    const fleet = await startFleet({ size: 1, env: ALLOWED })
    const [server] = fleet.servers as [Service]
    const retry = { minMs: 500, maxMs: 5_000, factor: 2, jitter: 'none' }
    const { at } = await scheduleWebhook(server, receiver.url, { id: 'again', retry })
    const waiting = await untilIs(server, 'again', { attempts: 1, status: 'scheduled' })
    expect(waiting).toMatchObject({
      reason: 'status 503',
      lastAttempts: [{ status: 503, body: 'busy 1', claim: expect.any(Number) }],
    })
    expect(Date.parse(waiting.nextAttemptAt ?? '')).toBeGreaterThan(Date.parse(at))
    const delivered = await untilIs(server, 'again', { status: 'delivered' })
    expect(delivered).toMatchObject({
      at,
      attempts: 2,
      recoveries: 0,
      reason: 'status 503',
      lastAttempts: [{ body: 'busy 1' }, { body: 'busy 2' }],
    })

    const { requests } = receiver
    expect(attemptsOf(requests)).toEqual([1, 2, 3])
    expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(['again']))
    expect(new Set(requests.map(({ headers }) => headers['carillon-scheduled-for']))).toEqual(new Set([at]))
    expectGrowingClaims(requests)
    const [one = 0, two = 0, three = 0] = requests.map((request) => request.at)
    expect(two - one).toBeGreaterThan(490)
    expect(three - two).toBeGreaterThan(990)
  })

  it('is not sent again before the time that Retry-After asks for, at most maxMs', async () => {
    const receiver = await openReceiver((response, { path, headers }) => {
      if (headers['carillon-attempt'] !== '1') return void response.writeHead(204).end()
      response.writeHead(429, { 'retry-after': path === '/obeyed' ? '2' : '86400' }).end()
    })
    const fleet = await startFleet({ size: 1, env: ALLOWED })
    const [server] = fleet.servers as [Service]
    await scheduleWebhook(server, `${receiver.url}/obeyed`, {
      id: 'obeyed',
      retry: { minMs: 1, maxMs: 10_000 },
    })
    await scheduleWebhook(server, `${receiver.url}/capped`, { id: 'capped', retry: { minMs: 1, maxMs: 700 } })
    for (const id of ['obeyed', 'capped']) {
      expect(await untilIs(server, id, { status: 'delivered' })).toMatchObject({ reason: 'status 429' })
    }
    const waitOf = (wanted: string) => {
      const [first, second] = receiver.requests.filter(({ path }) => path === wanted)
      return (second?.at ?? 0) - (first?.at ?? 0)
    }
    expect(waitOf('/obeyed')).toBeGreaterThan(1_990)
    expect(waitOf('/capped')).toBeGreaterThan(690)
  })

  it("is sent once though it takes several times the lock's lifetime", async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const fleet = await startFleet({ size: 2, env: SHORT_LOCKS })
    const [server] = fleet.servers as [Service]
    await scheduleWebhook(server, receiver.url, { id: 'slow' })
    await until('it is sent', () => held.length > 0)
    const sentAt = performance.now()
    await until('its lock would have ended by now, more than once', () => performance.now() > sentAt + 7_000)
    expect(await lookUp(server, 'slow')).toMatchObject({ status: 'claimed', recoveries: 0 })
    held[0]?.end()
    expect(await untilIs(server, 'slow', { status: 'delivered' })).toMatchObject({
      attempts: 0,
      recoveries: 0,
    })
    expect(await Promise.all(fleet.servers.map((each) => each.end()))).toEqual([0, 0])
    expect(receiver.requests).toHaveLength(1)
  })
})

describe('a receiver that does not want a webhook', () => {
  it('is not asked twice: the message is dead, and can be found with the reason, redriven and deleted', async () => {
    const elsewhere = await openReceiver(answerWith(204))
    const receiver = await openReceiver((response, { path }) => {
      if (path === '/gone') response.writeHead(410).end('no such hook')
      else response.writeHead(301, { location: `${elsewhere.url}/there` }).end()
    })
    const fleet = await startFleet({ size: 1, env: ALLOWED })
    const [server] = fleet.servers as [Service]
    const tags = ['t']
    await scheduleWebhook(server, `${receiver.url}/gone`, { id: 'gone', tags })
    await scheduleWebhook(server, `${receiver.url}/moved`, { id: 'moved', tags })
    expect(await untilIs(server, 'gone', { status: 'dead' })).toMatchObject({
      attempts: 1,
      reason: 'status 410',
      lastAttempts: [{ status: 410, body: 'no such hook' }],
    })
    expect(await untilIs(server, 'moved', { status: 'dead' })).toMatchObject({
      reason: `status 301 to ${elsewhere.url}/there`,
    })
    const list = async () => {
      const { body } = await server.call<{ messages: MessageReply[] }>('GET', '/v1/messages?status=dead')
      return body.messages.map(({ id, reason }) => [id, reason]).sort()
    }
    expect(await list()).toEqual([
      ['gone', 'status 410'],
      ['moved', `status 301 to ${elsewhere.url}/there`],
    ])

    const patched = await server.call('PATCH', '/v1/messages/moved', {
      destination: { type: 'webhook', url: `${elsewhere.url}/there` },
    })
    expect(patched).toMatchObject({ status: 200, body: { status: 'dead' } })
    expect(elsewhere.requests).toEqual([])
    const redriven = await server.call('POST', '/v1/dead/redrive', { ids: ['moved', 'nobody'] })
    expect(redriven).toEqual({ status: 200, body: { redriven: 1, unknown: ['nobody'] } })
    expect(await untilIs(server, 'moved', { status: 'delivered' })).toMatchObject({
      attempts: 0,
      recoveries: 0,
    })
    expect(elsewhere.requests).toMatchObject([{ path: '/there', headers: { 'webhook-id': 'moved' } }])
    expect(attemptsOf(elsewhere.requests)).toEqual([1])

    expect(await server.call('DELETE', '/v1/dead', { all: true })).toEqual({
      status: 200,
      body: { deleted: 1 },
    })
    const { body: gone } = await server.call('GET', '/v1/messages/gone')
    expect(gone).toMatchObject({ status: 'cancelled' })
    expect(await list()).toEqual([])
    expect(receiver.requests.map(({ path }) => path).sort()).toEqual(['/gone', '/moved'])
    expectGrowingClaims([...receiver.requests.filter(({ path }) => path === '/moved'), ...elsewhere.requests])
  })
})

describe('an address of this machine', () => {
  it('is refused when scheduling, however it is spelt, unless WEBHOOK_ALLOW has it', async () => {
    const receiver = await openReceiver(answerWith(204))
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    const hosts = ['127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', '[::1]', 'localhost', '0.0.0.0']
    for (const host of hosts) {
      const { status, body } = await server.call('POST', '/v1/messages', {
        payload: 1,
        destination: { type: 'webhook', url: `http://${host}:${receiver.port}/` },
      })
      expect([host, status, body]).toMatchObject([host, 400, { errors: [{ path: '/destination/url' }] }])
    }
    expect(receiver.connections).toEqual([])
  })

  it('is not reached by a name either: the message dies of it without a second try', async () => {
    const receiver = await openReceiver(answerWith(204))
    const hosts = { 'hooks.test': '127.0.0.1' }
    const fleet = await startFleet({ size: 0 })
    const guarded = await fleet.add({ hosts })
    const url = `http://hooks.test:${receiver.port}/`
    await scheduleWebhook(guarded, url, { id: 'inward', retry: AT_ONCE })
    expect(await untilIs(guarded, 'inward', { status: 'dead' })).toMatchObject({
      attempts: 1,
      reason: 'address not allowed',
    })
    expect(receiver.connections).toEqual([])
    await guarded.end()

    // The same is the way in where it is meant to be one.
    const open = await fleet.add({ hosts, env: { WEBHOOK_ALLOW: 'hooks.test' } })
    expect((await open.call('POST', '/v1/dead/redrive', { all: true })).status).toBe(200)
    await untilIs(open, 'inward', { status: 'delivered' })
    expect(receiver.requests).toMatchObject([{ headers: { host: `hooks.test:${receiver.port}` } }])
  })
})
