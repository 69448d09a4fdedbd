import { setTimeout as delay } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import type { MessageReply } from '../../../src/http/v1/messages/schemas.ts'
import { connect } from '../../../src/store/connect.ts'
import { keysOf, shardCountsKeyOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { RAISE_DELAY_MS } from '../../../src/store/scripts/shard-counts.ts'
import { sameAttemptTwice, startFleet } from '../../support/fleet.ts'
import { refusedStart, type Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const HOUR_MS = 3_600_000
const MORE = 4

interface Stats {
  readonly counts: { readonly scheduled: number }
  readonly shards: number
}

const shardsOf = async (server: Service) => (await server.call<Stats>('GET', '/v1/stats')).body.shards

async function client() {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const { client } = connection
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  await until('all its nodes answer', () =>
    Promise.all(nodes.map((node) => node.ping())).then(
      () => true,
      () => false,
    ),
  )
  return client
}

/** Every id that is listed, page by page; `between` is done after each page but the last. */
async function listAll(server: Service, query: string, between: () => Promise<unknown>): Promise<string[]> {
  const ids: string[] = []
  for (let cursor = ''; ; await between()) {
    const { status, body } = await server.call<{ messages: MessageReply[]; nextCursor: string | null }>(
      'GET',
      `/v1/messages?${query}${cursor}`,
    )
    if (status !== 200) throw new Error(`a listing was answered ${status}`)
    ids.push(...body.messages.map(({ id }) => id))
    if (body.nextCursor === null) return ids
    cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`
  }
}

/** Schedules messages before the raise, to be found and changed after it through every server. @returns their ids */
async function scheduleOld(one: Service, two: Service, at: string) {
  const old = Array.from({ length: 60 }, (_, i) => `old-${i}`)
  for (const id of old) {
    const message = { id, at, payload: id, tags: ['old'] }
    expect((await one.call('POST', '/v1/messages', message)).status).toBe(201)
  }
  const made: string[] = []
  for (let i = 0; i < 10; i += 1) {
    const { body } = await two.call('POST', '/v1/messages', { at, payload: i, tags: ['old'] })
    made.push(body.id)
  }
  return { old, made }
}

/** Posts a steady stream of ids, each to two servers at about the same time, and some messages without an id. */
function startStream(one: Service, two: Service) {
  const stored: string[] = []
  const wrong: unknown[] = []
  let streaming = true
  const oneMessage = async (i: number) => {
    const id = `new-${i}`
    const message = { id, delay: '1s', payload: id }
    const askedAt = Date.now()
    const statuses = await Promise.all([
      one.call('POST', '/v1/messages', message).then(({ status }) => status),
      delay(Math.random() * 4).then(async () => (await two.call('POST', '/v1/messages', message)).status),
    ])
    if ([...statuses].sort().join() !== '200,201') wrong.push({ id, statuses, askedAt })
    stored.push(id)
    if (i % 4 > 0) return
    const { status, body } = await one.call('POST', '/v1/messages', { delay: '1s', payload: i })
    if (status !== 201) wrong.push({ status, body })
    stored.push(body.id)
  }
  const stream = (async () => {
    const asked: Promise<void>[] = []
    for (let i = 0; streaming; i += 1) {
      asked.push(oneMessage(i))
      await delay(20)
    }
    await Promise.all(asked)
  })()
  const stop = async () => {
    streaming = false
    await stream
  }
  onTestFinished(() => stop().catch(() => undefined))
  return { stored, wrong, stop }
}

/** Expects ids whose shard is another one after the raise to be found through both. @returns how many it cancelled */
async function expectMovedIds(old: readonly string[], at: string, [one, two]: readonly [Service, Service]) {
  const moved = old.filter((id) => shardOfClientId(id, MORE) !== 0)
  expect(moved.length).toBeGreaterThan(20)
  for (const [i, id] of moved.slice(0, 20).entries()) {
    const [here, there] = i % 2 === 0 ? [one, two] : [two, one]
    const again = { id, at, payload: id, tags: ['old'] }
    expect((await here.call('POST', '/v1/messages', again)).status).toBe(200)
    expect((await there.call('POST', '/v1/messages', { ...again, payload: 'other' })).status).toBe(409)
    expect((await here.call('GET', `/v1/messages/${id}`)).body).toMatchObject({ id, version: 1 })
    expect((await there.call('PATCH', `/v1/messages/${id}`, { payload: 2 })).body.version).toBe(2)
    expect((await here.call('DELETE', `/v1/messages/${id}`)).status).toBe(204)
    const { body: cancelled } = await there.call('GET', `/v1/messages/${id}`)
    expect(cancelled).toMatchObject({ status: 'cancelled' })
  }
  return 20
}

describe('raising the number of shards while servers run', () => {
  it('loses nothing, doubles nothing, and all of them follow', async () => {
    const fleet = await startFleet({ size: 2, env: { SHARDS: '1' } })
    const [one, two] = fleet.servers as [Service, Service]
    const redis = await client()

    const at = new Date(Date.now() + HOUR_MS).toISOString()
    const { old, made } = await scheduleOld(one, two, at)
    const { stored, wrong, stop } = startStream(one, two)
    await until('messages come', () => fleet.delivered().length > 20)

    const raisedAt = Date.now()
    const three = await fleet.add({ env: { SHARDS: String(MORE) } })
    expect((await redis.get(shardCountsKeyOf(fleet.namespace)))?.split('@')[0]).toBe(`1,${MORE}`)
    await until('all have heard of it', async () => {
      const heard = await Promise.all(fleet.servers.map(shardsOf))
      return heard.every((count) => count === MORE)
    })
    // Before it takes effect.
    expect(Date.now() - raisedAt).toBeLessThan(RAISE_DELAY_MS)
    const deliveredFromNew = async () => {
      const sizes = await Promise.all([1, 2, 3].map((n) => redis.hlen(keysOf(n, fleet.namespace).history)))
      return sizes.reduce((sum, size) => sum + size, 0)
    }

    // A page before the raise takes effect, and the next ones while and after it does.
    let pages = 0
    const listed = await listAll(two, 'tag=old&limit=10', async () => {
      pages += 1
      if (pages === 1) expect(await deliveredFromNew()).toBe(0)
      const wait = raisedAt + RAISE_DELAY_MS + (pages - 3) * 300 - Date.now()
      if (wait > 0) await delay(wait)
    })
    expect(listed.sort()).toEqual([...old, ...made].sort())
    await until('messages come from new shards', async () => (await deliveredFromNew()) > 60)

    // The server that raised the number dies. The others deliver from all shards.
    await three.end('SIGKILL')
    const killedAt = stored.length
    await until('more are stored', () => stored.length > killedAt + 100)
    await stop()
    expect(wrong).toEqual([])
    expect(new Set(stored).size).toBe(stored.length)
    await fleet.untilDelivered(stored)
    // What the killed one had claimed may come again, as another attempt.
    expect(sameAttemptTwice(fleet.delivered())).toEqual([])
    const shardsUsed = new Set(stored.map((id) => /^~(\d)/.exec(id)?.[1]).filter(Boolean))
    expect(shardsUsed.size).toBeGreaterThan(1)

    for (const server of [one, two]) {
      const { body } = await server.call<Stats>('GET', '/v1/stats')
      expect(body.counts.scheduled).toBe(old.length + made.length)
    }
    const cancelled = await expectMovedIds(old, at, [one, two])
    expect((await two.call('POST', '/v1/messages/cancel', { tag: 'old' })).body).toMatchObject({
      cancelled: old.length + made.length - cancelled,
    })

    // A server that starts with the old number is told what to set. Those that run continue.
    const { code, stderr } = await refusedStart({
      ...{ REDIS_URL: inject('redisUrl'), NAMESPACE: fleet.namespace, SHARDS: '1' },
    })
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^carillon: SHARDS is 1, but .*SHARDS=4\n$/)])
    expect((await one.get('/health')).status).toBe(200)
  })

  it('ends at the larger number when two servers do it at once', async () => {
    const fleet = await startFleet({ size: 1, env: { SHARDS: '2' } })
    const [first] = fleet.servers as [Service]
    // The one with fewer is refused if it comes second.
    const raised = await Promise.allSettled([3, 5].map((n) => fleet.add({ env: { SHARDS: String(n) } })))
    expect(raised[1]?.status).toBe('fulfilled')
    for (const server of fleet.servers) {
      await until('it has heard of the larger one', async () => (await shardsOf(server)) === 5)
    }
    expect(await first.call('POST', '/v1/messages', { id: 'a', delay: '1h', payload: 1 })).toMatchObject({
      status: 201,
    })
  })
})
