import { expect, it } from 'vitest'
import { makeApiKey } from '../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../support/app.ts'
import { until } from '../../support/until.ts'

const shop = makeApiKey('shop', 'read+write')
const worker = makeApiKey('worker', 'pull:mails')
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const world = useApp({ API_KEYS: `${shop.entry},${worker.entry}`, WEBHOOK_SECRETS: SECRET })

const get = async <T>(url: string, { key } = shop) => {
  const answer = await world().app.inject({ url, headers: { authorization: `Bearer ${key}` } })
  return { status: answer.statusCode, text: answer.body, body: answer.json<T>() }
}
const schedule = (payload: object) =>
  world().app.inject({
    ...{ method: 'POST', url: '/v1/messages', payload: { payload: 1, ...payload } },
    headers: { authorization: `Bearer ${shop.key}` },
  })

it('GET /v1/me tells any key what it is, and what the server offers', async () => {
  expect((await get('/v1/me')).body).toMatchObject({
    ...{ name: 'shop', scopes: ['read', 'write'], namespace: world().namespace },
    features: { clock: expect.any(Boolean), events: true, telemetry: false, embedded: false },
  })
  const { status, body } = await get<{ now: string; version: string }>('/v1/me', worker)
  expect([status, body]).toMatchObject([200, { name: 'worker', scopes: ['pull:mails'] }])
  expect(body.version).toMatch(/^\d+\.\d+\.\d+/)
  expect(body.now).toMatch(/^\d{4}-.*\.\d{3}Z$/)
  expect((await world().app.inject('/v1/me')).statusCode).toBe(401)
})

it('GET /v1/load counts what is due and what is coming', async () => {
  expect((await get('/v1/load')).body).toEqual({
    ...{ overdue: 0, oldestOverdueMs: 0, due: { s10: 0, m1: 0, m5: 0 } },
    ...{ peakPerSecond: 0, peakAt: null, inFlight: 0, capacity: 0 },
  })
  await schedule({ at: '2020-01-01T00:00:00Z' })
  await schedule({ delay: '30s', destination: { type: 'pull', queue: 'mails' } })
  await schedule({ delay: '4m' })
  await schedule({ delay: '1h' })
  const { body } = await get<{ oldestOverdueMs: number; peakAt: string }>('/v1/load')
  expect(body).toMatchObject({ overdue: 1, due: { s10: 0, m1: 1, m5: 2 }, peakPerSecond: 1 })
  expect(body.oldestOverdueMs).toBeGreaterThan(Date.parse('2026-01-01') - Date.parse('2020-01-01'))
  expect(Date.parse(body.peakAt)).toBeGreaterThan(Date.now())
})

it('GET /v1/system tells servers, Redis, settings and keys, and no secret', async () => {
  world().startClaiming()
  type System = {
    servers: { capacity: number }[]
    settings: { name: string; value: string | null }[]
    redis: { pingMs: number; version: string }
  }
  await until('the server has said that it is there', async () => {
    const { body } = await get<System>('/v1/system')
    return body.servers.length === 1
  })
  const { body, text } = await get<System>('/v1/system')
  expect(body.servers).toEqual([
    expect.objectContaining({ capacity: 256, inFlight: 0, oldestSince: null, full: [], stuck: false }),
  ])
  expect(body.redis).toMatchObject({ maxMemoryPolicy: 'noeviction', appendOnly: expect.any(Boolean) })
  expect(body.redis.pingMs).toBeGreaterThan(0)
  const settingOf = (name: string) => body.settings.find((setting) => setting.name === name)?.value
  expect([settingOf('API_KEYS'), settingOf('WEBHOOK_SECRETS')]).toEqual(['***', '***'])
  expect([settingOf('PORT'), settingOf('ROLES'), settingOf('TRUST_PROXY')]).toEqual([
    '3000',
    'api,worker',
    null,
  ])
  expect(body).toMatchObject({
    shards: world().shards.length,
    keys: [
      { name: 'shop', scopes: ['read', 'write'] },
      { name: 'worker', scopes: ['pull:mails'] },
    ],
  })
  for (const secret of [SECRET, shop.key, shop.entry.split(':')[1] ?? '']) expect(text).not.toContain(secret)
  expect((await get('/v1/system', worker)).status).toBe(403)
})

it('GET /v1/destinations tells of the pause that holds a destination, and takes its name in both ways', async () => {
  const call = (method: 'POST' | 'DELETE', url: string, payload?: object) =>
    world().app.inject({
      ...{ method, url, headers: { authorization: `Bearer ${shop.key}` } },
      ...(payload === undefined ? {} : { payload }),
    })
  await schedule({ destination: { type: 'pull', queue: 'mails' } })
  expect((await get('/v1/destinations/pull%3Amails')).body).toMatchObject({
    waiting: 1,
    due: 1,
    paused: null,
  })
  await call('POST', '/v1/pauses', { target: 'queue:mails', note: 'a migration' })
  const named = await get('/v1/destinations/pull%3Amails')
  expect(named.body).toMatchObject({
    ...{ lane: 'pull:mails', waiting: 1, inFlight: null, limits: { concurrency: null } },
    paused: { target: 'queue:mails', note: 'a migration', by: 'shop', at: expect.any(String), until: null },
  })
  expect((await get('/v1/destinations?lane=pull:mails')).body).toEqual(named.body)
  const { destinations } = (await get<{ destinations: object[] }>('/v1/destinations')).body
  expect(destinations).toMatchObject([{ lane: 'pull:mails', paused: { target: 'queue:mails' } }])
  for (const lane of ['pigeon', 'webhook:https://a.test/path', 'pull:']) {
    const refused = await get(`/v1/destinations/${encodeURIComponent(lane)}`)
    expect(refused.body, lane).toMatchObject({ status: 400, code: 'invalid', errors: [{ path: '/lane' }] })
    expect((await get(`/v1/destinations?lane=${encodeURIComponent(lane)}`)).status, lane).toBe(400)
  }
})
