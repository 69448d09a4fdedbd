import { describe, expect, it } from 'vitest'
import type { MessageReply } from '../../../src/http/v1/messages/schemas.ts'
import type { OperationReply } from '../../../src/http/v1/operations/schemas.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const HOUR_MS = 3_600_000
const BY_MS = 1_234_567
const COUNT = 2_000

const dueAt = Date.now() + 5 * HOUR_MS
const due = (i: number) => dueAt + 10 * (i % 700)

const begin = async (server: Service, body: object) => {
  const { status, body: operation } = await server.call<OperationReply>('POST', '/v1/operations', body)
  expect(status).toBe(202)
  return operation
}

const find = async (server: Service, id: string) =>
  (await server.call<OperationReply>('GET', `/v1/operations/${id}`)).body

async function ended(server: Service, id: string): Promise<OperationReply> {
  let operation = await find(server, id)
  await until('the operation has ended', async () => {
    operation = await find(server, id)
    return operation.state !== 'running'
  })
  return operation
}

async function listAll(server: Service): Promise<MessageReply[]> {
  const messages: MessageReply[] = []
  for (let cursor = ''; ; ) {
    const { body } = await server.call<{ messages: MessageReply[]; nextCursor: string | null }>(
      'GET',
      `/v1/messages?limit=1000${cursor}`,
    )
    messages.push(...body.messages)
    if (body.nextCursor === null) return messages
    cursor = `&cursor=${body.nextCursor}`
  }
}

/** Every message of the fleet was moved, and once. */
async function expectMovedOnce(server: Service, fleet: Fleet, ids: readonly string[]): Promise<void> {
  const found = new Map((await listAll(server)).map((message) => [message.id, message]))
  const wrong = ids.filter((id, i) => {
    const message = found.get(id)
    return message?.version !== 2 || Date.parse(message.at) !== due(i) + BY_MS
  })
  expect(wrong).toEqual([])
  expect(found.size).toBe(ids.length)
  expect(fleet.delivered()).toEqual([])
}

describe('an operation', () => {
  it.each([['one that moves to later times', BY_MS]])(
    'continues on another server after a kill -9, and touches each message once: %s',
    async (_title, byMs) => {
      const fleet = await startFleet({ size: 2 })
      const [one, two] = fleet.servers as [Service, Service]
      const ids = await fleet.schedule(COUNT, due)
      const { id } = await begin(one, { action: 'shift', all: true, byMs, perSecond: 1_000 })
      await until('it has begun', async () => (await find(two, id)).done > 0)
      await one.end('SIGKILL')
      const { done } = await find(two, id)
      expect(done).toBeLessThan(COUNT)
      expect(await ended(two, id)).toMatchObject({ state: 'done', matched: COUNT, done: COUNT, failed: 0 })
      await expectMovedOnce(two, fleet, ids)
    },
  )

  it('continues at once when its server is stopped in order', async () => {
    const fleet = await startFleet({ size: 2 })
    const [one, two] = fleet.servers as [Service, Service]
    const ids = await fleet.schedule(COUNT, due)
    const { id } = await begin(one, { action: 'shift', all: true, byMs: BY_MS, perSecond: 1_000 })
    await until('it has begun', async () => (await find(two, id)).done > 0)
    expect(await one.end()).toBe(0)
    expect(await ended(two, id)).toMatchObject({ state: 'done', matched: COUNT, done: COUNT, failed: 0 })
    await expectMovedOnce(two, fleet, ids)
  })

  it('is not disturbed by shards that are added while it runs', async () => {
    const fleet = await startFleet({ size: 1, env: { SHARDS: '1' } })
    const [one] = fleet.servers as [Service]
    const ids = await fleet.schedule(COUNT, due)
    const { id } = await begin(one, { action: 'shift', all: true, byMs: BY_MS, perSecond: 1_000 })
    const more = await fleet.add({ env: { SHARDS: '4' } })
    const stats = async () => (await one.call<{ shards: number }>('GET', '/v1/stats')).body
    await until('there are more shards', async () => (await stats()).shards === 4)
    expect(await ended(more, id)).toMatchObject({ state: 'done', matched: COUNT, done: COUNT, failed: 0 })
    await expectMovedOnce(more, fleet, ids)
  })
})
