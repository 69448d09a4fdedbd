import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp({ SHARDS: '3' })
const { send, post } = messagesApi(world)

const at = (i: number) => new Date(Date.parse(IN_AN_HOUR) + i * 1_000).toISOString()
const webhook = (url: string) => ({ type: 'webhook', url })
const LATE = '2001-02-03T04:05:06Z'

const ids = async (query: string) => {
  const { status, body } = await send('GET', `/v1/messages?${query}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return (body.messages as { id: string }[]).map(({ id }) => id)
}
const count = async (query: string) => (await send('GET', `/v1/count?${query}`)).body

/** Many at once, of which nothing but the id and the time is interesting. */
async function postMany(total: number, of: (i: number) => object) {
  for (let first = 0; first < total; first += 5_000) {
    const messages = Array.from({ length: Math.min(5_000, total - first) }, (_, i) => of(first + i))
    expect((await send('POST', '/v1/messages/batch', { messages })).status).toBe(200)
  }
}

/** Lets what is due become a dead letter. */
async function expire(messages: readonly object[]) {
  for (const message of messages)
    await post({ ...message, at: LATE, notAfter: LATE, onLate: 'dead-letter', payload: 1 })
  world().startClaiming()
  await expect.poll(() => count('status=dead')).toEqual({ count: messages.length })
}

describe('filters of GET /v1/messages', () => {
  it('find a destination by any spelling of its origin, and every kind of lane', async () => {
    await post({ id: 'a', at: at(1), payload: 1, destination: webhook('https://API.shop/hook') })
    await post({ id: 'b', at: at(2), payload: 1, destination: webhook('https://api.shop:443/other') })
    await post({ id: 'c', at: at(3), payload: 1, destination: webhook('https://api.shop:8443/hook') })
    await post({ id: 'd', at: at(4), payload: 1, destination: { type: 'pull', queue: 'emails' } })
    await post({ id: 'e', at: at(5), payload: 1, destination: { type: 'stream', name: 's' } })
    await post({ id: 'f', at: at(6), payload: 1 })
    for (const origin of ['https://api.shop', 'https://API.SHOP:443', 'HTTPS://api.shop/'])
      expect(await ids(`destination=${encodeURIComponent(`webhook:${origin}`)}`)).toEqual(['a', 'b'])
    expect(await ids('destination=webhook:https://api.shop:8443')).toEqual(['c'])
    expect(await ids('destination=pull:emails')).toEqual(['d'])
    expect(await ids('destination=stream')).toEqual(['e'])
    expect(await ids('destination=console')).toEqual(['f'])
    expect(await ids('destination=pull:none')).toEqual([])
  })

  it('find by its destination what is set aside while its tag is paused', async () => {
    await send('POST', '/v1/pauses', { target: 'tag:t' })
    await post({ id: 'a', payload: 1, tags: ['t'] })
    await post({ id: 'b', at: at(1), payload: 1, tags: ['t'] })
    world().startClaiming()
    const { client, keysFor } = world()
    const setAside = () => client.zcard(`${keysFor('a').scheduled}:paused`)
    await expect.poll(setAside).toBe(1)
    expect(await ids('destination=console')).toEqual(['a', 'b'])
    expect(await ids('destination=console&tag=t&late=true')).toEqual(['a'])
    expect(await ids('destination=stream')).toEqual([])
    expect(await count('destination=console')).toEqual({ count: 2 })
    expect(await count('')).toEqual({ count: 2 })
  })

  it('order by time, down as up, page by page', async () => {
    for (let i = 0; i < 7; i += 1) await post({ id: `m${i}`, at: at(i), payload: i })
    const seen: string[] = []
    let cursor = ''
    for (;;) {
      const { body } = await send('GET', `/v1/messages?order=desc&limit=3${cursor}`)
      seen.push(...(body.messages as { id: string }[]).map(({ id }) => id))
      if (body.nextCursor === null) break
      cursor = `&cursor=${body.nextCursor}`
    }
    expect(seen).toEqual(['m6', 'm5', 'm4', 'm3', 'm2', 'm1', 'm0'])
    expect(await ids('order=asc')).toEqual([...seen].reverse())
  })

  it('find what is overdue', async () => {
    await post({ id: 'late', at: LATE, payload: 1, tags: ['t'] })
    await post({ id: 'later', at: at(1), payload: 1, tags: ['t'] })
    expect(await ids('late=true')).toEqual(['late'])
    expect(await ids('late=true&tag=t')).toEqual(['late'])
    expect(await count('late=true')).toEqual({ count: 1 })
  })

  it('find dead letters by their whole reason, of which other states have none', async () => {
    await expire([{ id: 'a', tags: ['t'] }, { id: 'b' }])
    await post({ id: 'c', delay: '1h', payload: 1 })
    expect((await ids('reason=expired')).sort()).toEqual(['a', 'b'])
    expect(await ids('reason=expired&tag=t')).toEqual(['a'])
    expect(await ids('reason=expire')).toEqual([])
    expect(await count('reason=expired&status=dead')).toEqual({ count: 2 })
  })

  it('list the message first whose whole id a prefix is, and never twice', async () => {
    for (const [id, i] of [
      ['job', 9],
      ['job-1', 2],
      ['job-2', 1],
      ['other', 3],
    ] as const)
      await post({ id, at: at(i), payload: 1 })
    expect(await ids('idPrefix=job')).toEqual(['job', 'job-2', 'job-1'])
    expect(await ids('idPrefix=job&order=desc')).toEqual(['job', 'job-1', 'job-2'])
    expect(await ids('idPrefix=job-1')).toEqual(['job-1'])
    const first = (await send('GET', '/v1/messages?idPrefix=job&limit=1')).body
    expect(first).toMatchObject({ messages: [{ id: 'job' }], nextCursor: expect.any(String) })
    expect(await ids(`idPrefix=job&cursor=${first.nextCursor}`)).toEqual(['job-2', 'job-1'])
  })

  it('say that a page ended after 10,000 messages were looked at, and continue behind them', async () => {
    await postMany(12_000, (i) => ({ id: `m${i}`, at: at(i), payload: 1 }))
    await post({ id: 'x-2', at: at(12_001), payload: 1 })
    await post({ id: 'x', at: at(12_002), payload: 1 })
    await post({ id: 'x-3', at: at(12_003), payload: 1, destination: { type: 'pull', queue: 'q' } })
    const first = (await send('GET', '/v1/messages?idPrefix=x')).body
    expect(first).toMatchObject({ messages: [{ id: 'x' }], searched: 'part' })
    const seen: unknown[] = []
    let { nextCursor } = first
    while (nextCursor !== null) {
      const { body } = await send('GET', `/v1/messages?idPrefix=x&cursor=${nextCursor}`)
      seen.push(...(body.messages as { id: string }[]).map(({ id }) => id))
      nextCursor = body.nextCursor
    }
    expect(seen).toEqual(['x-2', 'x-3'])
    expect(await count('idPrefix=x')).toEqual({ count: 3 })
    // What an index holds is found at once.
    expect((await send('GET', '/v1/messages?limit=1')).body).not.toHaveProperty('searched')
  })

  it.each([
    ['reason=timeout&status=scheduled', 'reason'],
    ['late=true&status=dead', 'late'],
    ['late=true&reason=timeout', 'late'],
    ['late=yes', 'late'],
    ['tag=t&status=delivered', 'tag'],
    ['destination=webhook', 'destination'],
    ['destination=webhook:ftp://api.shop', 'destination'],
    ['destination=webhook:https://api.shop/hook', 'destination'],
    ['destination=webhook:https://user@api.shop', 'destination'],
    ['destination=pull:', 'destination'],
    ['destination=', 'destination'],
    ['idPrefix=', 'idPrefix'],
    ['idPrefix=a%20b', 'idPrefix'],
    ['reason=', 'reason'],
    ['order=up', 'order'],
  ])(
    'are refused by the name of the field where they are wrong or cannot be combined: %s',
    async (query, field) => {
      for (const path of field === 'order' ? ['messages'] : ['messages', 'count']) {
        const answer = await send('GET', `/v1/${path}?${query}`)
        expect(answer).toMatchObject(problem(400, new RegExp(`^${field}: `)))
        expect(answer.body.errors).toEqual([expect.objectContaining({ path: `/${field}` })])
      }
    },
  )

  it('are bound by a cursor, all of them', async () => {
    for (let i = 0; i < 3; i += 1) await post({ id: `m${i}`, at: at(i), payload: i, tags: ['t'] })
    const query = 'destination=console&idPrefix=m&order=desc'
    const { nextCursor } = (await send('GET', `/v1/messages?${query}&limit=1`)).body
    expect(await ids(`${query}&cursor=${nextCursor}`)).toEqual(['m1', 'm0'])
    for (const other of [
      'idPrefix=m&order=desc',
      'destination=stream&idPrefix=m&order=desc',
      'destination=console&order=desc',
      'destination=console&idPrefix=m1&order=desc',
      'destination=console&idPrefix=m',
      `${query}&tag=t`,
      `${query}&late=true`,
    ])
      expect((await send('GET', `/v1/messages?${other}&cursor=${nextCursor}`)).status, other).toBe(400)
  })
})

describe('GET /v1/count', () => {
  it('is exact at any size where an index counts', async () => {
    await postMany(11_000, (i) => ({ at: at(i % 100), payload: 1, tags: ['all'] }))
    await post({ id: 'q', at: at(0), payload: 1, destination: { type: 'pull', queue: 'q' }, tags: ['all'] })
    expect(await count('')).toEqual({ count: 11_001 })
    expect(await count('tag=all')).toEqual({ count: 11_001 })
    expect(await count('destination=console')).toEqual({ count: 11_000 })
    expect(await count('destination=pull:q')).toEqual({ count: 1 })
    expect(await count(`from=${at(1)}&to=${at(3)}`)).toEqual({ count: 220 })
    expect(await count('status=dead')).toEqual({ count: 0 })
    // Here messages have to be looked at.
    expect(await count('destination=console&tag=all')).toEqual({ count: 10_000, atLeast: true })
    expect(await count('destination=pull:q&tag=all')).toEqual({ count: 1 })
    expect(await count('idPrefix=~')).toEqual({ count: 10_000, atLeast: true })
    expect(await count('idPrefix=none')).toEqual({ count: 0 })
  })

  it('is exact for just 10,000 that had to be looked at', async () => {
    await postMany(10_000, (i) => ({ id: `m${i}`, at: at(i % 100), payload: 1 }))
    expect(await count('idPrefix=m')).toEqual({ count: 10_000 })
    await post({ id: 'm', at: at(0), payload: 1 })
    expect(await count('idPrefix=m')).toEqual({ count: 10_000, atLeast: true })
  })

  it('leaves out what is being delivered', async () => {
    await post({ id: 'a', payload: 1, destination: { type: 'pull', queue: 'q' }, tags: ['t'] })
    await post({ id: 'b', at: at(1), payload: 1, tags: ['t'] })
    expect(await count('tag=t')).toEqual({ count: 2 })
    expect((await send('POST', '/v1/queues/q/claim', {})).body).toMatchObject({ messages: [{ id: 'a' }] })
    expect(await count('tag=t')).toEqual({ count: 1 })
    expect(await count('tag=t&status=claimed')).toEqual({ count: 1 })
    expect(await count('status=claimed&destination=pull:q')).toEqual({ count: 1 })
  })
})

describe('GET /v1/dead/groups', () => {
  const groups = async (query: string) => (await send('GET', `/v1/dead/groups${query}`)).body

  it('groups by reason, destination or tag, over all shards', async () => {
    expect(await groups('')).toEqual({ groups: [] })
    await expire([
      { id: 'a', tags: ['t', 'u'] },
      { id: 'b', tags: ['t'], destination: webhook('https://API.shop/') },
      { id: 'c' },
    ])
    const times = { first: expect.any(String), last: expect.any(String) }
    const ofAll = { key: 'expired', count: 3, ...times, sample: expect.arrayContaining(['a', 'b', 'c']) }
    expect(await groups('')).toEqual({ groups: [ofAll] })
    expect(await groups('?by=reason')).toEqual({ groups: [ofAll] })
    expect(await groups('?by=destination')).toEqual({
      groups: [
        { key: 'console', count: 2, ...times, sample: expect.arrayContaining(['a', 'c']) },
        { key: 'webhook:https://api.shop', count: 1, ...times, sample: ['b'] },
      ],
    })
    expect(await groups('?by=tag')).toEqual({
      groups: [
        { key: 't', count: 2, ...times, sample: expect.arrayContaining(['a', 'b']) },
        { key: 'u', count: 1, ...times, sample: ['a'] },
      ],
    })
    const [{ finishedAt = '' } = {}] = (await send('GET', '/v1/messages?status=dead')).body.messages as {
      finishedAt?: string
    }[]
    expect((await groups('')).groups).toEqual([expect.objectContaining({ first: finishedAt })])
  })

  it('refuses anything else to group by', async () => {
    expect(await send('GET', '/v1/dead/groups?by=colour')).toMatchObject(problem(400, /^by: /))
  })
})
