import type { ServerResponse } from 'node:http'
import { expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { openReceiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'

interface System {
  readonly servers: readonly {
    readonly id: string
    readonly inFlight: number
    readonly capacity: number
    readonly oldestSince: string | null
    readonly full: readonly object[]
  }[]
}
interface Destination {
  readonly lane: string
  readonly delivered: number
}

it('any server tells what all of them have in flight, and how destinations did', async () => {
  const held: ServerResponse[] = []
  const receiver = await openReceiver((response) => void held.push(response))
  const lane = `webhook:${receiver.url}`
  const env = {
    WEBHOOK_ALLOW: '127.0.0.1',
    HOST_CONCURRENCY: '2',
    RETRY_MIN_MS: '3600000',
    RETRY_JITTER: 'none',
  }
  const fleet = await startFleet({ size: 0, env })
  const one = await fleet.add()
  const two = await fleet.add({ env: { ROLES: 'api' } })
  const destination = { type: 'webhook', url: `${receiver.url}/hook` }
  for (const id of ['a', 'b']) await one.call('POST', '/v1/messages', { id, payload: 1, destination })
  await until('both are under way', () => held.length === 2)

  const system = async () => (await two.call<System>('GET', '/v1/system')).body.servers
  await until('the heartbeat tells that its host is full', async () =>
    (await system()).some(({ full }) => full.length > 0),
  )
  const [busy] = (await system()).filter(({ inFlight }) => inFlight > 0)
  expect(busy).toMatchObject({ inFlight: 2, capacity: 256, oldestSince: expect.any(String) })
  expect(busy?.full).toEqual([{ lane, inFlight: 2, limit: 2, oldestSince: expect.any(String) }])
  expect((await two.call('GET', '/v1/load')).body).toMatchObject({ inFlight: 2, capacity: 256 })
  const path = `/v1/destinations/${encodeURIComponent(lane)}`
  expect((await two.call('GET', path)).body).toMatchObject({ inFlight: 2, limits: { concurrency: 2 } })

  held[0]?.writeHead(200).end()
  held[1]?.writeHead(503).end()
  // Each server leases and acknowledges one message, so that each has something to tell.
  for (const server of [one, two]) {
    await server.call('POST', '/v1/messages', { payload: 1, destination: { type: 'pull', queue: 'mails' } })
    const { body } = await server.call<{ messages: { id: string; token: string }[] }>(
      ...(['POST', '/v1/queues/mails/claim', { waitMs: 30_000 }] as const),
    )
    const messages = body.messages.map(({ id, token }) => ({ id, token }))
    await server.call('POST', '/v1/queues/mails/acknowledge', { messages })
  }
  const all = async () =>
    (await one.call<{ destinations: Destination[] }>('GET', '/v1/destinations')).body.destinations
  const of = async (name: string) => (await all()).find((each) => each.lane === name)
  await until('what both have delivered is there', async () => (await of('pull:mails'))?.delivered === 2)
  await until('and what became of the webhooks', async () => (await of(lane))?.delivered === 1)
  expect(await of(lane)).toMatchObject({
    ...{ waiting: 1, due: 0, delivered: 1, failed: 1, retried: 1, dead: 0, codes: { 200: 1, 503: 1 } },
    lastError: { at: expect.any(String), reason: 'status 503' },
    durationMs: { p50: expect.any(Number), p99: expect.any(Number) },
    lateMs: { p50: expect.any(Number), p99: expect.any(Number), max: expect.any(Number) },
  })
  const { body } = await two.call<{ count: number; minutes: { count: number }[] }>('GET', '/v1/lateness')
  expect(body.minutes.reduce((sum, { count }) => sum + count, 0)).toBe(body.count)
})
