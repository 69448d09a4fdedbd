import { describe, expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { refusedStart, type Service } from '../../support/service.ts'
import { startProbe } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** What a way over a server and Redis, and back, takes on this machine now, at the worst; ms. */
const fleetOf = async (...roles: string[]) => {
  const fleet = await startFleet({ size: 0 })
  const servers = await Promise.all(roles.map((ROLES) => fleet.add({ env: { ROLES } })))
  return { fleet, servers }
}

describe('ROLES=api', () => {
  it('accepts messages, and never claims or delivers one', async () => {
    const { fleet, servers } = await fleetOf('api')
    const [api] = servers as [Service]
    expect((await api.post(await api.soon(), 'for later')).status).toBe(200)
    const due = await api.call('POST', '/v1/messages', { payload: 'for now' })
    expect(due.status).toBe(201)
    // Overdue for longer than the poll, with which a worker that missed every wake would find them.
    const overdue = async () => (await api.metrics()).get('carillon_oldest_overdue_seconds') ?? 0
    await until('a worker would long have delivered both', async () => (await overdue()) > 2.5)
    expect((await api.metrics()).get('carillon_messages{state="scheduled"}')).toBe(2)
    expect((await api.call('GET', `/v1/messages/${due.body.id}`)).body).toMatchObject({ status: 'scheduled' })
    expect(fleet.delivered()).toEqual([])

    // And they are there for whoever delivers.
    const worker = await fleet.add({ env: { ROLES: 'worker' } })
    await until('both are delivered', () => worker.delivered.length === 2)
    expect(api.delivered).toEqual([])
  })

  it('names its role to those who look who is there', async () => {
    const { servers } = await fleetOf('api', 'worker')
    const [api] = servers as [Service]
    const roles = async () => {
      const { body } = await api.call<{ servers: { roles: string[] }[] }>('GET', '/v1/stats')
      return body.servers.map((server) => server.roles.join()).sort()
    }
    await expect.poll(roles).toEqual(['api', 'worker'])
  })
})

describe('ROLES=worker', () => {
  it('delivers what is there, and has no routes for messages', async () => {
    const { fleet, servers } = await fleetOf('worker')
    const [worker] = servers as [Service]
    for (const [method, path] of [
      ['POST', '/echoAtTime'],
      ['POST', '/v1/messages'],
      ['GET', '/v1/messages'],
      ['DELETE', '/v1/messages/m0'],
      ['POST', '/v1/messages/batch'],
      ['POST', '/v1/queues/q/claim'],
      ['GET', '/v1/stats'],
    ] as const) {
      const { status } = await worker.call(method, path, method === 'POST' ? {} : undefined)
      expect(status, `${method} ${path}`).toBe(404)
    }
    await fleet.untilDelivered(await fleet.schedule(100, Date.now()))
  })

  it.each(['/health', '/ready', '/live', '/metrics', '/'])('answers %s', async (path) => {
    const { servers } = await fleetOf('worker')
    expect((await fetch((servers[0]?.url ?? '') + path)).status).toBe(200)
  })
})

describe('a server that accepts and one that delivers', () => {
  it('are as fast together as one that does both: the one wakes the other', async () => {
    const { fleet, servers } = await fleetOf('api', 'worker')
    const [api, worker] = servers as [Service, Service]
    const probe = startProbe(
      () => api.get('/health'),
      () => worker.get('/health'),
    )
    const COUNT = 15
    // The worker sleeps before each, as nothing else is there, and would look for itself only once a second.
    for (let i = 0; i < COUNT; i += 1) {
      const { body } = await api.call('POST', '/v1/messages', { payload: i, delay: (i % 3) * 40 })
      await fleet.untilDelivered([body.id])
    }
    expect(worker.delivered.length).toBe(COUNT)
    expect(api.delivered).toEqual([])
    const late = worker.delivered.map(({ lateMs }) => lateMs).sort((a, b) => a - b)
    // With the poll alone half of them would come half a second later than the machine takes.
    expect(late[Math.floor(COUNT / 2)]).toBeLessThan(300 + 2 * probe.medianMs())
  })

  it('ROLES=api,worker does both', async () => {
    const { fleet, servers } = await fleetOf('api, worker')
    const [server] = servers as [Service]
    const answer = await server.post(await server.soon(), 'x')
    await fleet.untilDelivered([answer.body.id ?? ''])
  })
})

describe('a role that there is not', () => {
  it.each(['boss', 'api,api', 'api,,worker', 'API'])('%s is refused, with what is allowed', async (ROLES) => {
    const { code, stderr } = await refusedStart({ ROLES })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: ROLES is "[^"]+"; allowed: api, worker or both, comma-separated\n$/)
  })
})
