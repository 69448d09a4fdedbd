import { describe, expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, hang, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

interface Why {
  readonly id: string
  readonly status: string
  readonly reason: string
  readonly since: string | null
  readonly until: string | null
  readonly summary: string
  readonly details: Readonly<Record<string, unknown>>
}

const ALLOWED = { WEBHOOK_ALLOW: '127.0.0.1' }
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
const TEXT = expect.stringMatching(/\w/)
const NO_RETRY = { attempts: 1 }
const LONG_RETRY = { minMs: 3_600_000, jitter: 'none' }
const jobs = (queue: string) => ({ destination: { type: 'pull', queue } })
const hook = (url: string) => ({ destination: { type: 'webhook', url, timeoutMs: 60_000 } })

async function schedule(server: Service, message: Readonly<Record<string, unknown>>): Promise<string> {
  const { status, body } = await server.call('POST', '/v1/messages', { payload: 1, ...message })
  expect(status).toBe(201)
  return body.id
}

/** Waits until the reason of a message is this one. @returns what is told then */
async function untilReason(server: Service, id: string, reason: string): Promise<Why> {
  let told: Why | undefined
  await until(`the reason of ${id} is ${reason}`, async () => {
    const answer = await server.call<Why>('GET', `/v1/messages/${id}/why`)
    expect(answer.status).toBe(200)
    told = answer.body
    return told.reason === reason
  })
  return told as Why
}

const claim = (server: Service, queue: string) =>
  server.call<{ messages: { id: string; token: string }[] }>('POST', `/v1/queues/${queue}/claim`)

const serversOf = async (server: Service) =>
  (await server.call<{ servers: { id: string; roles: string[] }[] }>('GET', '/v1/stats')).body.servers

async function oneServer(env: Readonly<Record<string, string>> = {}): Promise<Service> {
  const { servers } = await startFleet({ size: 1, env: { ...ALLOWED, ...env } })
  return servers[0] as Service
}

describe('why a message waits', () => {
  it('is told before it is due, after a failure, and when it is over', async () => {
    const server = await oneServer()
    const { url } = await openReceiver((response, request, socket) => {
      const status = Number(request.path.slice(1))
      answerWith(status, {}, `the answer ${status}`)(response, request, socket)
    })
    const [{ id: serverId } = { id: '' }] = await serversOf(server)

    const later = await schedule(server, { delay: '1h' })
    const notDue = { status: 'scheduled', since: TIME, until: TIME, summary: TEXT, details: { dueAt: TIME } }
    expect(await untilReason(server, later, 'not-due')).toMatchObject({ id: later, ...notDue })

    const retried = await schedule(server, { ...hook(`${url}/503`), retry: LONG_RETRY })
    expect(await untilReason(server, retried, 'waiting-retry')).toMatchObject({
      ...{ status: 'scheduled', since: TIME, until: TIME, summary: expect.stringContaining('status 503') },
      details: { attempt: 1, lastError: 'status 503', nextAttemptAt: TIME },
    })

    const delivered = await schedule(server, hook(`${url}/204`))
    expect(await untilReason(server, delivered, 'delivered')).toMatchObject({
      ...{ status: 'delivered', since: TIME, until: null, summary: TEXT },
      details: {
        lateMs: expect.any(Number),
        ...{ claim: expect.any(Number), durationMs: expect.any(Number), status: 204, server: serverId },
      },
    })

    const dead = await schedule(server, hook(`${url}/410`))
    expect(await untilReason(server, dead, 'dead')).toMatchObject({
      ...{ status: 'dead', since: TIME, until: null, summary: expect.stringContaining('status 410') },
      details: { reason: 'status 410', attempt: 1, server: serverId },
    })

    await server.call('DELETE', `/v1/messages/${later}`)
    expect(await untilReason(server, later, 'cancelled')).toMatchObject({
      ...{ status: 'cancelled', since: TIME, until: null, summary: TEXT, details: {} },
    })

    expect(await untilReason(server, 'nobody', 'unknown')).toMatchObject({
      ...{ id: 'nobody', status: 'unknown', since: null, until: null, summary: TEXT },
      details: { historyMax: 10_000, historyTtlMs: 3_600_000 },
    })
  })

  it('is told of a queue that nobody asks, of its lease, and of those behind', async () => {
    const server = await oneServer()
    const [{ id: serverId } = { id: '' }] = await serversOf(server)
    const first = await schedule(server, jobs('mails'))
    const second = await schedule(server, jobs('mails'))
    const waiting = await untilReason(server, second, 'no-puller')
    expect(waiting).toMatchObject({ since: null, until: null, details: { queue: 'mails' } })
    expect(waiting.summary).toMatch(/nobody has ever asked/)

    const before = Date.now()
    const { body } = await claim(server, 'mails')
    const [leased = ''] = body.messages.map(({ id }) => id)
    const other = leased === first ? second : first
    const lease = await untilReason(server, leased, 'leased')
    expect(lease).toMatchObject({
      ...{ status: 'claimed', since: TIME, until: TIME, summary: TEXT },
      details: { server: serverId, lockUntil: TIME },
    })
    expect(lease.until).toBe(lease.details.lockUntil)
    expect(Math.abs(Date.parse(lease.since ?? '') - before)).toBeLessThan(60_000)
    expect(await untilReason(server, other, 'behind')).toMatchObject({
      ...{ status: 'scheduled', since: TIME, details: { ahead: expect.any(Number) } },
    })

    const tooLate = new Date((await server.soon()) + 100).toISOString()
    const dropped = await schedule(server, { ...jobs('late'), notAfter: tooLate, onLate: 'drop' })
    await until('it is dropped', async () => {
      await server.call('GET', '/v1/stats')
      if (Date.now() > Date.parse(tooLate)) await claim(server, 'late')
      return (await server.call('GET', `/v1/messages/${dropped}`)).body.status !== 'scheduled'
    })
    expect(await untilReason(server, dropped, 'dropped')).toMatchObject({
      ...{ status: 'dropped', since: TIME, details: { lateMs: expect.any(Number) } },
    })
  })

  it('is told of a host that is full, and names the delivery', async () => {
    const server = await oneServer({ HOST_CONCURRENCY: '1' })
    const [{ id: serverId } = { id: '' }] = await serversOf(server)
    const { url, requests } = await openReceiver(hang)
    const first = await schedule(server, { ...hook(url), retry: NO_RETRY })
    await until('the first is on its way', () => requests.length === 1)
    const delivery = await untilReason(server, first, 'delivering')
    expect(delivery).toMatchObject({
      ...{ status: 'claimed', since: TIME, until: TIME, summary: TEXT },
      details: { server: serverId, lockUntil: TIME },
    })
    const second = await schedule(server, { ...hook(url), retry: NO_RETRY })
    const full = { inFlight: 1, limit: 1, oldestSince: TIME, server: serverId }
    expect(await untilReason(server, second, 'destination-full')).toMatchObject({
      ...{ status: 'scheduled', since: TIME, summary: TEXT, details: full },
    })
    const { body } = await server.call<{ late: { lane: string; reason: string; count: number }[] }>(
      ...['GET', '/v1/late'],
    )
    expect(body).toMatchObject({
      late: [{ lane: `webhook:${url}`, reason: 'destination-full', count: 1, oldest: TIME, since: TIME }],
      ...{ total: 1, paused: [] },
    })
  })

  it('is told of servers that are full, though the host is not', async () => {
    const server = await oneServer({ DELIVERY_CONCURRENCY: '1' })
    const [{ id: serverId } = { id: '' }] = await serversOf(server)
    const [slow, other] = [await openReceiver(hang), await openReceiver(hang)]
    await schedule(server, { ...hook(slow.url), retry: NO_RETRY })
    await until('the first is on its way', () => slow.requests.length === 1)
    const waiting = await schedule(server, { ...hook(other.url), retry: NO_RETRY })
    expect(await untilReason(server, waiting, 'servers-full')).toMatchObject({
      ...{ status: 'scheduled', since: TIME, summary: TEXT },
      details: { inFlight: 1, limit: 1, oldestSince: TIME, server: serverId },
    })
  })

  it('is told of pauses: of a destination, a queue, a tag, and what is not due yet', async () => {
    const server = await oneServer()
    const pauses = ['destination:console', 'queue:mails', 'tag:held']
    for (const target of pauses) {
      expect((await server.call('POST', '/v1/pauses', { target, note: 'migration' })).status).toBe(201)
    }
    const due = [
      await schedule(server, {}),
      await schedule(server, jobs('mails')),
      await schedule(server, { ...jobs('others'), tags: ['held'] }),
    ]
    for (const [i, id] of due.entries()) {
      expect(await untilReason(server, id, 'paused')).toMatchObject({
        ...{
          status: 'scheduled',
          since: TIME,
          until: null,
          summary: expect.stringMatching(/paused.*: migration$/),
        },
        details: { target: pauses[i], note: 'migration', at: TIME },
      })
    }
    const later = await schedule(server, { ...jobs('mails'), delay: '1h' })
    expect((await untilReason(server, later, 'not-due')).details).toMatchObject({
      paused: { target: 'queue:mails', note: 'migration', at: TIME },
    })
    const { body } = await server.call<{ total: number; late: unknown[]; paused: { lane: string }[] }>(
      ...['GET', '/v1/late'],
    )
    expect(body.paused).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ lane: 'console', reason: 'paused', count: 1 }),
        expect.objectContaining({ lane: 'pull:mails', reason: 'paused', count: 1 }),
      ]),
    )
  })

  it('is told of a cluster without workers, and of a delivery whose server was killed', async () => {
    const fleet = await startFleet({ size: 0, env: { ...ALLOWED, LOCK_TTL_MS: '60000' } })
    const api = await fleet.add({ env: { ROLES: 'api' } })
    const worker = await fleet.add({ env: { ROLES: 'worker' } })
    const { url, requests } = await openReceiver(hang)
    let workerId = ''
    await until('both servers are known', async () => {
      const servers = await serversOf(api)
      workerId = servers.find(({ roles }) => roles.includes('worker'))?.id ?? ''
      return servers.length === 2
    })
    const id = await schedule(api, hook(url))
    await until('it is on its way', () => requests.length === 1)
    expect(await untilReason(api, id, 'delivering')).toMatchObject({ details: { server: workerId } })
    await worker.end('SIGKILL')
    expect(await untilReason(api, id, 'lock-lost')).toMatchObject({
      ...{ status: 'claimed', until: TIME, summary: TEXT },
      details: { server: workerId, lockUntil: TIME },
    })
    const waiting = await schedule(api, {})
    expect(await untilReason(api, waiting, 'no-worker')).toMatchObject({
      ...{ status: 'scheduled', since: TIME, until: null, summary: TEXT },
      details: { workerHeardAt: TIME, servers: 1 },
    })
  })

  it('knows from one server which queues another was asked for', async () => {
    const { servers } = await startFleet({ size: 2, env: ALLOWED })
    const [one, two] = servers as [Service, Service]
    const id = await schedule(one, { ...jobs('shared'), delay: '1s' })
    const waiting = two.call('POST', '/v1/queues/other/claim', { waitMs: 30_000 })
    const other = await schedule(one, { ...jobs('other'), delay: '1h' })
    await two.call('POST', '/v1/queues/shared/claim')
    expect((await untilReason(one, id, 'behind')).details).toMatchObject({ ahead: 0 })
    await one.call('PATCH', `/v1/messages/${other}`, { delay: 0 })
    await waiting
    expect((await untilReason(one, other, 'leased')).status).toBe('claimed')
  })
})

describe('the timeline of a message', () => {
  it('has each attempt, the successful one too, with its server', async () => {
    const server = await oneServer()
    const [{ id: serverId } = { id: '' }] = await serversOf(server)
    let requests = 0
    const { url } = await openReceiver((response) => {
      requests += 1
      response.writeHead(requests === 1 ? 503 : 200).end('busy')
    })
    const id = await schedule(server, { ...hook(url), delay: '1h' })
    await server.call('PATCH', `/v1/messages/${id}`, { delay: 0, retry: { minMs: 1, jitter: 'none' } })
    await untilReason(server, id, 'delivered')
    const { status, body } = await server.call<{ entries: Record<string, unknown>[] }>(
      ...['GET', `/v1/messages/${id}/timeline`],
    )
    expect(status).toBe(200)
    const attempt = {
      event: 'attempt',
      server: serverId,
      claim: expect.any(Number),
      lateMs: expect.any(Number),
    }
    expect(body).toEqual({
      id,
      entries: [
        { at: TIME, event: 'created' },
        { at: TIME, event: 'changed', version: 2 },
        { at: TIME, event: 'due' },
        {
          ...{ at: TIME, ...attempt, attempt: 1, durationMs: expect.any(Number), status: 503 },
          body: 'busy',
        },
        { at: TIME, ...attempt, attempt: 2, durationMs: expect.any(Number), status: 200 },
        { at: TIME, event: 'delivered', lateMs: expect.any(Number) },
      ],
    })
    expect((await server.call('GET', '/v1/messages/nobody/timeline')).status).toBe(404)
  })
})
