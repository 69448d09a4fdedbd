import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

describe('GET /v1/messages', () => {
  const at = (i: number) => new Date(Date.parse(IN_AN_HOUR) + i * 1_000).toISOString()

  it('lists page by page in due order, and misses and repeats nothing that was there throughout', async () => {
    await Promise.all(
      Array.from({ length: 25 }, (_, i) =>
        post({ id: `m${String(i).padStart(2, '0')}`, at: at(i % 5), payload: i }),
      ),
    )
    const seen: string[] = []
    let cursor: unknown
    for (let page = 0; ; page += 1) {
      const { body } = await send(
        'GET',
        `/v1/messages?limit=4${cursor === undefined ? '' : `&cursor=${cursor}`}`,
      )
      const ids = (body.messages as { id: string }[]).map(({ id }) => id)
      seen.push(...ids)
      // The very message the cursor stands on goes, and others come before and behind it.
      await send('DELETE', `/v1/messages/${ids.at(-1)}`)
      await post({ id: `early${page}`, at: at(-10 + page), payload: 1 })
      cursor = body.nextCursor
      if (cursor === null) break
    }
    const original = seen.filter((id) => id.startsWith('m'))
    expect(original).toHaveLength(25)
    expect(new Set(original).size).toBe(25)
    const order = (id: string) => Number(id.slice(1)) % 5
    expect(original.map(order)).toEqual(original.map(order).sort((a, b) => a - b))
  })

  it('keeps to from, to, tag and status', async () => {
    for (let i = 0; i < 6; i += 1)
      await post({ id: `m${i}`, at: at(i), payload: i, tags: [i % 2 === 0 ? 'even' : 'odd'] })
    const ids = async (query: string) =>
      ((await send('GET', `/v1/messages?${query}`)).body.messages as { id: string }[]).map(({ id }) => id)
    expect(await ids(`from=${at(1)}&to=${at(4)}`)).toEqual(['m1', 'm2', 'm3'])
    expect(await ids(`from=${Date.parse(at(4))}`)).toEqual(['m4', 'm5'])
    expect(await ids(`tag=even&from=${at(1)}`)).toEqual(['m2', 'm4'])
    expect(await ids('status=claimed&tag=even')).toEqual([])
    expect(await ids('status=dead')).toEqual([])
  })

  it('finds dead messages by tag too', async () => {
    const late = {
      at: '2001-02-03T04:05:06Z',
      notAfter: '2001-02-03T04:05:07Z',
      onLate: 'dead-letter',
      payload: 1,
    }
    for (const [id, tags] of Object.entries({ a: ['x', 't'], b: ['x'], c: ['t'] }))
      await post({ ...late, id, tags })
    await post({ id: 'd', delay: '1h', payload: 1, tags: ['t'] })
    world().startClaiming()
    const dead = async (query: string) =>
      ((await send('GET', `/v1/messages?status=dead${query}`)).body.messages as { id: string }[])
        .map(({ id }) => id)
        .sort()
    await expect.poll(() => dead('')).toEqual(['a', 'b', 'c'])
    expect(await dead('&tag=t')).toEqual(['a', 'c'])
    expect(await dead('&tag=none')).toEqual([])
  })

  it.each([
    'limit=0',
    'limit=1001',
    'limit=x',
    'limit=1e3',
    'limit=true',
    'limit=10.5',
    'status=lost',
    'tag=',
    'tag=x&status=delivered',
    'tag=x&status=dropped',
    'from=yesterday',
    'from=1730104372',
    'cursor=nonsense',
    'colour=blue',
  ])('refuses %s with a problem', async (query) => {
    expect(await send('GET', `/v1/messages?${query}`)).toMatchObject(problem(400))
  })

  it('refuses a cursor of another query', async () => {
    for (let i = 0; i < 3; i += 1) await post({ delay: '1h', payload: i, tags: ['t'] })
    const { nextCursor } = (await send('GET', '/v1/messages?limit=1')).body
    expect((await send('GET', `/v1/messages?limit=2&cursor=${nextCursor}`)).status).toBe(200)
    for (const cursor of [`${nextCursor}!!`, `%20${nextCursor}`, `${nextCursor}`.slice(0, -3)]) {
      expect((await send('GET', `/v1/messages?cursor=${cursor}`)).status).toBe(400)
    }
    expect((await send('GET', `/v1/messages?tag=t&cursor=${nextCursor}`)).status).toBe(400)
  })
})

describe('messages that are large', () => {
  it('are listed as far as a page may hold them, whatever the limit', async () => {
    const payload = 'ü'.repeat(450_000)
    for (let i = 0; i < 30; i += 1) await post({ id: `m${i}`, delay: '1h', payload, tags: ['t'] })
    const { body } = await send('GET', '/v1/messages?limit=100&tag=t')
    // 16 MiB of 900 kB each.
    expect(body.messages).toHaveLength(18)
    expect(body.nextCursor).not.toBeNull()
  })

  it('do not hide behind one that cannot be read, nor does it', async () => {
    const { client, keysFor } = world()
    const keys = keysFor('a')
    await post({ id: 'a', delay: '1h', payload: 1 })
    await client.hset(keys.messages, 'broken', '5 x\n')
    await client.zadd(keys.scheduled, Date.now() + 1_000, 'broken')
    expect((await send('GET', '/v1/messages')).body.messages).toEqual([
      { id: 'broken', status: 'scheduled', unreadable: true, raw: '5 x\n' },
      expect.objectContaining({ id: 'a' }),
    ])
  })
})
