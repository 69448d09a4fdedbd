import { beforeEach, describe, expect, it } from 'vitest'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import { makeApiKey } from '../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../support/app.ts'
import { until } from '../../support/until.ts'

interface Answer {
  readonly detail?: string
  readonly target: string
  readonly waiting: number
  readonly until: string | null
  readonly pauses: readonly { target: string; waiting: number; by: string | null }[]
}

const ORIGIN = 'https://shop.example.com'

describe('pauses over HTTP', () => {
  const world = useApp()
  const send = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) => {
    const answer = await world().app.inject({ method, url, ...(payload === undefined ? {} : { payload }) })
    return { status: answer.statusCode, body: answer.json<Answer>() }
  }
  const pause = (target: string, more: object = {}) => send('POST', '/v1/pauses', { target, ...more })
  const resume = (target: string, body?: object) =>
    send('DELETE', `/v1/pauses/${encodeURIComponent(target)}`, body)

  it.each([
    ['all', 'all'],
    ['queue:emails', 'queue:emails'],
    ['destination:pull:emails', 'queue:emails'],
    ['destination:console', 'destination:console'],
    ['destination:stream', 'destination:stream'],
    ['destination:webhook:HTTPS://Shop.Example.com:443/', `destination:webhook:${ORIGIN}`],
    ['tag:two words / and a slash', 'tag:two words / and a slash'],
  ])('take the target %s as %s', async (given, target) => {
    expect(await pause(given, { note: 'why' })).toMatchObject({
      status: 201,
      body: { target, note: 'why', by: null, until: null, resuming: null },
    })
    expect(await pause(target)).toMatchObject({ status: 200, body: { note: null } })
    expect((await send('GET', '/v1/pauses')).body.pauses).toMatchObject([{ target, waiting: 0 }])
    expect(await resume(given)).toMatchObject({ status: 200, body: { target, waiting: 0, until: null } })
    expect((await send('GET', '/v1/pauses')).body.pauses).toEqual([])
  })

  it.each([
    ['flow:shop'],
    ['namespace'],
    ['destination:webhook:https://shop.example.com/path'],
    ['destination:webhook:ftp://shop.example.com'],
    ['destination:nothing'],
    ['queue:not a name'],
    [`tag:${'x'.repeat(65)}`],
    ['shop'],
  ])('refuse the target %s, naming the field', async (target) => {
    const { status, body } = await pause(target)
    expect(status).toBe(400)
    expect(body.detail).toMatch(/^target: must /)
    expect((await resume(target)).status).toBe(400)
  })

  it('refuse an end that is not in the future, and a pace that is two', async () => {
    for (const end of [1_700_000_000_000, new Date(Date.now() - 1_000).toISOString()]) {
      const { status, body } = await pause('all', { until: end })
      expect([status, body.detail]).toEqual([400, 'until: must be in the future'])
    }
    await pause('all')
    const { status, body } = await resume('all', { spread: '10m', perSecond: 5 })
    expect([status, body.detail]).toEqual([400, 'perSecond: cannot be combined with spread'])
    expect((await resume('all', { skipOlderThan: 'soon' })).body.detail).toMatch(/^skipOlderThan: /)
  })

  it('answer 404 for what is not paused, in the path and in the query', async () => {
    expect((await resume('all')).status).toBe(404)
    expect((await resume('all', { spread: '10m' })).status).toBe(404)
    expect((await send('DELETE', '/v1/pauses?target=all')).status).toBe(404)
    await pause('all')
    expect((await send('DELETE', '/v1/pauses?target=all')).status).toBe(200)
  })

  describe('with messages that wait', () => {
    beforeEach(async () => {
      await pause('all')
      await pause('tag:red')
      const messages = Array.from({ length: 40 }, (_, i) => ({
        id: `m${i}`,
        payload: i,
        tags: i < 10 ? ['red'] : [],
      }))
      await send('POST', '/v1/messages/batch', { messages })
    })
    const listed = async () => {
      const { app } = world()
      const { messages } = (await app.inject('/v1/messages?limit=1000')).json<{
        messages: { id: string; nextAttemptAt?: string; at: string }[]
      }>()
      return messages.map(({ id, at, nextAttemptAt }) => ({ id, at: Date.parse(nextAttemptAt ?? at) }))
    }

    it('tell how many, of each pause', async () => {
      const { pauses } = (await send('GET', '/v1/pauses')).body
      expect(pauses).toMatchObject([
        { target: 'all', waiting: 40 },
        { target: 'tag:red', waiting: 10 },
      ])
      const metrics = (await world().app.inject('/metrics')).body
      expect(metrics).toMatch(/^carillon_paused 40$/m)
      expect(metrics).toMatch(/^carillon_pauses 2$/m)
      expect(metrics).toMatch(/^carillon_oldest_overdue_seconds 0$/m)
    })

    it('have them fall due evenly, over all shards', async () => {
      const from = Date.now()
      await resume('tag:red')
      const { body } = await resume('all', { perSecond: 0.1 })
      expect(body).toMatchObject({ target: 'all', waiting: 40 })
      const last = Date.parse(body.until ?? '')
      world().startClaiming()
      await until('all have their times', async () => (await listed()).every(({ at }) => at > from))
      const times = (await listed()).map(({ at }) => at).sort((a, b) => a - b)
      expect(times).toHaveLength(40)
      expect(times.at(-1)).toBeLessThanOrEqual(last)
      expect(last - (times[0] ?? 0)).toBeGreaterThan(390_000)
      // Each shard spreads its own messages over all of the time.
      const { shards } = (await world().app.inject('/v1/stats')).json<{ shards: number }>()
      for (let shard = 0; shard < shards; shard += 1) {
        const own = (await listed()).filter(({ id }) => shardOfClientId(id, shards) === shard)
        const at = own.map((message) => message.at).sort((a, b) => a - b)
        const apart = at.slice(1).map((time, i) => time - (at[i] ?? 0))
        for (const ms of apart) expect(Math.abs(ms - 400_000 / own.length)).toBeLessThanOrEqual(2)
      }
    })

    it('are delivered one by one although all is paused, as asked for', async () => {
      world().startClaiming()
      const deliver = (id: string, body: object) => send('POST', `/v1/messages/${id}/deliver`, body)
      expect((await deliver('m3', {})).status).toBe(200)
      for (const id of ['m5', 'm25']) expect((await deliver(id, { ignorePause: true })).status).toBe(200)
      await until('both have come', () => world().delivered.length === 2)
      expect(world().delivered.toSorted()).toEqual(['m25', 'm5'])
    })

    it('keep nobody from a later message of their queue', async () => {
      await resume('all')
      const destination = { type: 'pull', queue: 'q' }
      const red = Array.from({ length: 1_200 }, (_, i) => ({
        id: `r${i}`,
        payload: i,
        tags: ['red'],
        destination,
      }))
      for (let i = 0; i < red.length; i += 600)
        await send('POST', '/v1/messages/batch', { messages: red.slice(i, i + 600) })
      await send('POST', '/v1/messages', { id: 'free', payload: 1, destination })
      const claimed = await world().app.inject({
        method: 'POST',
        url: '/v1/queues/q/claim',
        payload: { limit: 5 },
      })
      expect(claimed.json()).toMatchObject({ messages: [{ id: 'free' }] })
    })

    it('come when it is resumed, but for what a tag holds; then that, too', async () => {
      world().startClaiming()
      await resume('all')
      await until('the others come', () => world().delivered.length === 30)
      await resume('tag:red')
      await until('all have come', () => world().delivered.length === 40)
      expect(new Set(world().delivered).size).toBe(40)
    })
  })
})

describe('pauses with API keys', () => {
  const { key, entry } = makeApiKey('ann', 'read+write')
  const world = useApp({ API_KEYS: entry })

  it('have the name of the key that asked for them', async () => {
    const headers = { authorization: `Bearer ${key}` }
    const request = { headers, method: 'POST', url: '/v1/pauses', payload: { target: 'all' } } as const
    expect((await world().app.inject(request)).json()).toMatchObject({ by: 'ann' })
    const listed = (await world().app.inject({ headers, url: '/v1/pauses' })).json<Answer>()
    expect(listed.pauses).toMatchObject([{ by: 'ann' }])
  })
})
