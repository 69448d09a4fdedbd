import { describe, expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

interface Answers {
  readonly messages: readonly { readonly id: string }[]
  readonly count: number
  readonly groups: readonly {
    readonly key: string
    readonly count: number
    readonly sample: readonly string[]
  }[]
}
const ask = async (server: Service, path: string) => (await server.call<Answers>('GET', path)).body

describe('messages for a host that refuses them', () => {
  it('are found, counted, grouped, copied and delivered again through any server', async () => {
    let status = 410
    const receiver = await openReceiver((response, request, socket) =>
      answerWith(status)(response, request, socket),
    )
    const fleet = await startFleet({ size: 2, env: { WEBHOOK_ALLOW: '127.0.0.1', SHARDS: '4' } })
    const [one, other] = fleet.servers as [Service, Service]
    const lane = `webhook:${receiver.url}`
    const destination = { type: 'webhook', url: `${receiver.url}/hook` }
    const ids = ['bill-1', 'bill-2', 'bill-3']
    for (const id of ids) {
      const message = { id, at: '2999-01-01T00:00:00Z', payload: { id }, destination, tags: ['bills'] }
      expect((await one.call('POST', '/v1/messages', message)).status).toBe(201)
    }
    const filter = `destination=${encodeURIComponent(lane)}&tag=bills&order=desc`
    const listed = (await ask(other, `/v1/messages?${filter}`)).messages
    expect(listed.map(({ id }) => id).sort()).toEqual(ids)
    expect(await ask(other, `/v1/count?destination=${encodeURIComponent(lane)}`)).toEqual({ count: 3 })

    for (const id of ids) expect((await other.call('POST', `/v1/messages/${id}/deliver`)).status).toBe(200)
    const count = async () => (await ask(one, '/v1/count?reason=status%20410')).count
    await until('all are dead letters', async () => (await count()) === ids.length)
    const { groups } = await ask(other, '/v1/dead/groups?by=destination')
    expect(groups).toMatchObject([{ key: lane, count: 3 }])
    expect([...(groups[0]?.sample ?? [])].sort()).toEqual(ids)

    status = 200
    const copied = await other.call('POST', '/v1/messages/bill-1/copy', { payload: 'again' })
    expect(copied.status).toBe(201)
    await one.call('POST', '/v1/messages/bill-2/deliver')
    const bodies = () => receiver.requests.slice(ids.length).map(({ body }) => body)
    await until('both have arrived', () => bodies().length === 2)
    expect(bodies().sort()).toEqual(['"again"', '{"id":"bill-2"}'])
    await until('two are left', async () => (await count()) === 2)
  })
})
