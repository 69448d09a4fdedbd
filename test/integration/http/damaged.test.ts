import { describe, expect, it } from 'vitest'
import { useApp } from '../../support/app.ts'

// One shard, so that neighbours share their lane.
const world = useApp({ SHARDS: '1' })

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
const send = async (method: Method, url: string, payload?: object) => {
  const answer = await world().app.inject({ method, url, ...(payload === undefined ? {} : { payload }) })
  return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json<Record<string, unknown>>() }
}
const message = (id: string) => `/v1/messages/${id}`
const DAMAGED = { status: 409, body: { type: 'urn:carillon:problem:message-damaged', status: 409 } }
const CONFLICT = { status: 409, body: { type: 'urn:carillon:problem:id-conflict', status: 409 } }

const IN_AN_HOUR = { id: 'a', delay: '1h', payload: { text: 'hello' }, tags: ['t'] }
const PULL = { type: 'pull', queue: 'q' }
const WEBHOOK = { type: 'webhook', url: 'https://example.com/hook' }
const STREAM = { type: 'stream', name: 's' }

/** Stores a message and puts something else in the place of its record. @returns what that is */
async function damage(change: (record: string) => string, more: object = {}): Promise<string> {
  const { client, keysFor } = world()
  const { messages } = keysFor('a')
  expect((await send('POST', '/v1/messages', { ...IN_AN_HOUR, ...more })).status).toBe(201)
  const raw = change((await client.hget(messages, 'a')) ?? '')
  await client.hset(messages, 'a', raw)
  return raw
}

/** Each makes of a record what is none. */
const CHANGES: readonly [what: string, change: (record: string) => string][] = [
  ['is something else', () => 'garbage'],
  ['is empty', () => ''],
  ['has no payload', (record) => record.slice(0, record.indexOf('\n') + 1)],
  ['is cut off', (record) => record.slice(0, -2)],
  ['has another payload', (record) => `${record.slice(0, record.indexOf('\n') + 1)}nonsense`],
  ['has a payload of another form', (record) => record.replace(/\n.*/, '\n{not: "json"}')],
  ['has options that are cut off', (record) => record.replace(/,"t".*\n/, '\n')],
  ['has a version that is none', (record) => record.replace('{', '{"v":"x",')],
  ['has a time that is none', (record) => record.replace('{', '{"n":"soon",')],
  ['has tags that are none', (record) => record.replace('["t"]', '[7]')],
  ['is due when no calendar goes', (record) => `9999${record}`],
]

describe('a message whose record', () => {
  it.each(CHANGES)('%s is not changed, nor taken for what is sent under its id', async (_what, change) => {
    const raw = await damage(change)
    const { client, keysFor } = world()
    expect(await send('PATCH', message('a'), { delay: '2h' })).toMatchObject(DAMAGED)
    expect(await send('POST', '/v1/messages', IN_AN_HOUR)).toMatchObject(CONFLICT)
    expect((await send('POST', '/v1/messages/shift', { ids: ['a'], byMs: 1_000 })).status).toBe(200)
    const shown = { id: 'a', status: 'scheduled', unreadable: true }
    expect(await send('GET', message('a'))).toMatchObject({ status: 200, body: shown })
    if (!raw.includes('\n')) expect(await client.hget(keysFor('a').messages, 'a')).toBe(raw)
    expect((await send('DELETE', message('a'))).status).toBe(204)
    expect((await send('POST', '/v1/messages', IN_AN_HOUR)).status).toBe(201)
  })

  it('has a damaged payload can be given another', async () => {
    await damage((record) => record.slice(0, -2))
    const { status, body } = await send('PATCH', message('a'), { payload: 1 })
    expect({ status, body }).toMatchObject({ status: 200, body: { payload: 1, tags: ['t'], version: 2 } })
  })

  const moved = (record: string) => record.replace('example.com', 'example.org').replace('"q', '"r')
  it.each([
    ['to a host', WEBHOOK, () => 'garbage'],
    ['to a host', WEBHOOK, moved],
    ['to a queue', PULL, () => 'garbage'],
    ['to a queue', PULL, (record: string) => record.replace('\\"q\\"', '\\"r\\"')],
    ['to a stream', STREAM, () => 'garbage'],
    ['to a stream', STREAM, (record: string) => record.replace('stream', 'console')],
  ])(
    'went %s leaves nothing when it is deleted, and its neighbours as they were',
    async (_, destination, change) => {
      const { client, keysFor } = world()
      const other = {
        id: 'other',
        at: new Date(Date.now() + 7_200_000).toISOString(),
        payload: 1,
        destination,
      }
      await send('POST', '/v1/messages', other)
      const { scheduled, laned, hosts, queues } = keysFor('a')
      const lanes = ['stream', 'webhook:https://example.com', 'pull:q'].map((lane) => `${scheduled}:${lane}`)
      const sets = [scheduled, laned, hosts, queues, ...lanes]
      const inLanes = () => Promise.all(sets.map((set) => client.zrange(set, '0', '-1', 'WITHSCORES')))
      const before = await inLanes()
      await damage(change, { destination, tags: [] })
      expect(await inLanes()).not.toEqual(before)
      expect((await send('DELETE', message('a'))).status).toBe(204)
      expect(await inLanes()).toEqual(before)
      expect(await client.hkeys(keysFor('other').messages)).toEqual(['other'])
    },
  )
})

describe('what is stored in no state', () => {
  const record = `${Date.now() + 3_600_000}\n"text"`
  it.each([
    ['garbage', { unreadable: true, raw: 'garbage' }],
    [record, { payload: 'text' }],
  ])('(%j) is shown as stranded, is not changed, and can be deleted', async (raw, shown) => {
    const { client, keysFor } = world()
    await client.hset(keysFor('bad').messages, 'bad', raw)
    expect(await send('GET', message('bad'))).toMatchObject({
      ...{ status: 200, body: { id: 'bad', status: 'stranded', ...shown } },
    })
    expect(await send('PATCH', message('bad'), { delay: '2h', payload: 2 })).toMatchObject(DAMAGED)
    expect(await send('POST', '/v1/messages', { ...IN_AN_HOUR, id: 'bad' })).toMatchObject(CONFLICT)
    expect((await send('GET', '/v1/messages')).body).toEqual({ messages: [], nextCursor: null })
    const counts = async () => (await send('GET', '/v1/stats')).body.counts
    expect(await counts()).toEqual({ scheduled: 0, claimed: 0, dead: 0, stranded: 1 })
    expect(await client.hget(keysFor('bad').messages, 'bad')).toBe(raw)
    expect((await send('DELETE', message('bad'))).status).toBe(204)
    expect((await send('GET', message('bad'))).status).toBe(404)
    expect(await counts()).toEqual({ scheduled: 0, claimed: 0, dead: 0 })
    expect((await send('POST', '/v1/messages', { ...IN_AN_HOUR, id: 'bad' })).status).toBe(201)
  })
})

describe('an outcome', () => {
  const finish = async (entry: string) => {
    const { client, keysFor } = world()
    const { history, delivered } = keysFor('a')
    await client.hset(history, 'a', entry)
    await client.zadd(delivered, Date.now(), 'a')
    return async () => [await client.exists(history), await client.exists(delivered)]
  }

  it.each([['garbage'], [`delivered ${Date.now()} 0 0 0\ngarbage`], ['delivered x']])(
    'can be deleted after somebody else has changed it into %j',
    async (entry) => {
      const there = await finish(entry)
      expect((await send('GET', message('a'))).body).toMatchObject({ unreadable: true, raw: entry })
      expect((await send('DELETE', message('a'))).status).toBe(204)
      expect(await there()).toEqual([0, 0])
      expect((await send('GET', message('a'))).status).toBe(404)
    },
  )

  it('is kept when it can be read', async () => {
    const there = await finish(`delivered ${Date.now()} 0 0 0\n5\n1`)
    expect((await send('DELETE', message('a'))).status).toBe(409)
    expect(await there()).toEqual([1, 1])
  })
})

describe('a dead letter that cannot be read', () => {
  it.each(CHANGES)('(its record %s) is not redriven, listed, and can be deleted', async (_what, change) => {
    const raw = await damage(change)
    const { client, keysFor } = world()
    const { scheduled, dead, messages, failures } = keysFor('a')
    await client.zrem(scheduled, 'a')
    await client.zadd(dead, Date.now(), 'a')
    await client.hset(failures, 'a', 'unreadable')
    for (const selection of [{ ids: ['a'] }, { all: true }]) {
      expect(await send('POST', '/v1/dead/redrive', selection)).toEqual({
        ...{ status: 200, body: { redriven: 0, unreadable: 1, unknown: [] } },
      })
    }
    expect(await send('PATCH', message('a'), { tags: [] })).toMatchObject(DAMAGED)
    expect(await client.hget(messages, 'a')).toBe(raw)
    const shown = { id: 'a', status: 'dead', unreadable: true, raw, reason: 'unreadable', lastAttempts: [] }
    expect((await send('GET', '/v1/messages?status=dead')).body.messages).toEqual([shown])
    expect((await send('GET', '/v1/stats')).body.counts).toMatchObject({ scheduled: 0, dead: 1 })
    expect((await send('DELETE', '/v1/dead', { all: true })).body).toEqual({ deleted: 1 })
    expect(await client.exists(dead, messages, failures, scheduled)).toBe(0)
  })
})
