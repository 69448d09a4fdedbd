import { describe, expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { hang, openReceiver } from '../../support/receiver.ts'
import { refusedStart, type Service } from '../../support/service.ts'
import { type Clock, clock, clockNow, create, DAY_MS, startWithClock } from '../../support/test-clock.ts'
import { until } from '../../support/until.ts'

describe('the test clock', () => {
  it('stands still on all servers, and goes on where it stood', async () => {
    const fleet = await startWithClock(2)
    const [first, second] = fleet.servers as [Service, Service]
    const { now } = await clock(first, 'freeze')
    expect(await clockNow(second)).toBe(Date.parse(now))
    await clock(second, 'advance', { to: Date.parse(now) + DAY_MS, jump: true })
    expect(await clockNow(first)).toBe(Date.parse(now) + DAY_MS)
    const response = await fetch(`${first.url}/health`)
    expect(response.headers.get('carillon-test-clock')).toBe(new Date(Date.parse(now) + DAY_MS).toISOString())
    expect(await clock(first, 'run', { rate: 60 })).toMatchObject({ mode: 'running' })
    await until('a minute passes', async () => (await clockNow(second)) > Date.parse(now) + DAY_MS + 60_000)
  })

  it('begins anywhere without messages, and goes back only without them', async () => {
    const fleet = await startWithClock()
    const [server] = fleet.servers as [Service]
    await create(server, { id: 'kept', delay: '1d' })
    expect(await server.call('POST', '/v1/clock/reset', {})).toMatchObject({
      status: 400,
      body: { code: 'invalid', errors: [{ path: '/flush' }] },
    })
    for (const day of ['2040-01-01', '2028-02-29']) {
      await clock(server, 'reset', { flush: true, to: `${day}T00:00:00Z` })
      const { now, pending } = await clock(server, 'freeze')
      expect({ day: now.slice(0, 10), pending }).toEqual({ day, pending: 0 })
      await create(server, { id: day, delay: '1d' })
      const { messages } = await clock(server, 'advance', { by: '1d' })
      expect(messages.map(({ at }) => Date.parse(at))).toEqual([Date.parse(now) + DAY_MS])
    }
    await clock(server, 'reset', { flush: true })
    expect(Math.abs((await clock(server, 'run')).offsetMs)).toBeLessThan(DAY_MS)
  })

  it('is changed by one request at a time, and says where it stands when time is up', async () => {
    const receiver = await openReceiver(hang)
    const fleet = await startWithClock()
    const [server] = fleet.servers as [Service]
    const { now } = await clock(server, 'freeze')
    const dueAt = Date.parse(now) + DAY_MS
    await create(server, { id: 'hangs', at: dueAt, destination: { type: 'webhook', url: receiver.url } })
    const first = server.call<Clock>('POST', '/v1/clock/advance', { by: '2d', timeoutMs: 3_000 })
    await until('it is sent', () => receiver.requests.length === 1)
    const second = await server.call('POST', '/v1/clock/advance', { by: '1d' })
    expect(second).toMatchObject({ status: 409, body: { code: 'clock_busy' } })
    expect(await first).toMatchObject({
      status: 409,
      body: { code: 'limit_reached', to: new Date(dueAt).toISOString(), stoppedBecause: 'timeoutMs' },
    })
    expect(await clockNow(server)).toBe(dueAt)
  })

  it('is refused where messages were made without it, and absent without the setting', async () => {
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    const response = await fetch(`${server.url}/v1/clock`)
    expect(response.status).toBe(404)
    expect(response.headers.has('carillon-test-clock')).toBe(false)
    await create(server, { id: 'without', delay: '1d' })
    const { code, stderr } = await refusedStart({ NAMESPACE: fleet.namespace, TEST_CLOCK: 'true' })
    expect(code).not.toBe(0)
    expect(stderr).toContain('the namespace holds messages that were made without it')
  })
})
