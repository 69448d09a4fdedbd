import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { makeApiKey } from '../../../src/http/plugins/api-keys.ts'
import { listen } from '../../support/event-stream.ts'
import { type ServerHere, serveHere } from '../../support/serve-here.ts'
import { until } from '../../support/until.ts'

const LATER = '2999-01-01T00:00:00.000Z'
const ids = (events: readonly { data: { id: string } }[]) => events.map(({ data }) => data.id)
const schedule = async (server: ServerHere, id: string, more: object = {}) => {
  const { status } = await server.post('/v1/messages', { id, at: LATER, payload: { n: 1 }, ...more })
  expect(status).toBe(201)
}

describe('GET /v1/events', () => {
  it('is a stream of server-sent events that no proxy holds back', async () => {
    const server = await serveHere()
    const { status, headers, lastId } = await listen(server.url)
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
    })
    // It can be continued before anything was told.
    await until('it has a place to continue from', () => lastId() !== '')
  })

  it('tells what happens to a message, in order', async () => {
    const server = await serveHere()
    const { of, came } = await listen(server.url, { query: '?detail=all' })
    await server.post('/v1/messages', { id: 'now', payload: 1, tags: ['t'] })
    await came(1, 'delivered')
    expect(of().map(({ event }) => event)).toEqual(['scheduled', 'claimed', 'delivered'])
    const [scheduled, claimed, delivered] = of().map(({ data }) => data)
    const about = { id: 'now', at: expect.stringMatching(/Z$/), destination: 'console', tags: ['t'] }
    expect(scheduled).toEqual(about)
    const attempt = { lateMs: expect.any(Number), attempt: 1, claim: 1 }
    expect(claimed).toEqual({ ...about, ...attempt })
    expect(delivered).toEqual({ ...about, ...attempt, finishedAt: expect.stringMatching(/Z$/) })
  })

  it('tells what clients change, cancel, shift, redrive and pull', async () => {
    const server = await serveHere({ RETRY_ATTEMPTS: '2', RETRY_JITTER: 'none' })
    const { of, came } = await listen(server.url, { query: '?detail=all&tag=t' })
    const tags = ['t']
    const send = (method: string, path: string, body?: unknown) =>
      fetch(server.url + path, {
        method,
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      })
    await schedule(server, 'a', { tags })
    await schedule(server, 'other', { tags: ['u'] })
    await send('PATCH', '/v1/messages/a', { payload: 2 })
    await server.post('/v1/messages/shift', { tag: 't', byMs: -1_000 })
    await send('DELETE', '/v1/messages/a')
    await schedule(server, 'b', {
      tags,
      at: '2020-01-01T00:00:00Z',
      destination: { type: 'pull', queue: 'q' },
    })
    const claim = async () => {
      const { body } = await server.post('/v1/queues/q/claim', { waitMs: 5_000 })
      return {
        messages: (body.messages as { id: string; token: string }[]).map(({ id, token }) => ({ id, token })),
      }
    }
    await server.post('/v1/queues/q/release', { ...(await claim()), delay: 0 })
    await server.post('/v1/queues/q/release', { ...(await claim()), delay: 0 })
    await server.post('/v1/dead/redrive', { ids: ['b'] })
    await server.post('/v1/queues/q/acknowledge', await claim())
    await came(11)
    expect(of().map(({ event, data }) => `${event} ${data.id}`)).toEqual([
      ...['scheduled a', 'changed a', 'changed a', 'cancelled a'],
      ...['scheduled b', 'claimed b', 'failed b', 'claimed b', 'dead b', 'scheduled b', 'claimed b'],
      ...(of().length > 11 ? ['delivered b'] : []),
    ])
    expect(of('changed')[1]?.data).toMatchObject({ at: '2998-12-31T23:59:59.000Z', byMs: -1_000 })
    expect(of('failed')[0]?.data).toMatchObject({
      destination: 'pull:q',
      nextAt: expect.stringMatching(/Z$/),
    })
    expect(of('scheduled')[2]?.data).toMatchObject({ redriven: true })
    await came(1, 'delivered')
    expect(of('delivered')[0]?.data).toMatchObject({ id: 'b', destination: 'pull:q', tags })
  })

  it('tells what claims drop, bury and move into streams', async () => {
    const server = await serveHere()
    const { of, came } = await listen(server.url)
    const at = '2020-01-01T00:00:00.000Z'
    const late = { at, notAfter: at, tags: ['late'] }
    await schedule(server, 'dropped', { ...late, onLate: 'drop' })
    await schedule(server, 'dead', { ...late, onLate: 'dead-letter' })
    await schedule(server, 'moved', { at, destination: { type: 'stream', name: 's' }, tags: ['moved'] })
    await came(1, 'dropped')
    await came(1, 'dead')
    await came(1, 'delivered')
    expect(of('dropped')[0]?.data).toMatchObject({ id: 'dropped', at, tags: ['late'], reason: 'expired' })
    expect(of('dead')[0]?.data).toMatchObject({ id: 'dead', at, tags: ['late'], reason: 'expired' })
    expect(of('delivered')[0]?.data).toMatchObject({ id: 'moved', destination: 'stream', tags: ['moved'] })
  })

  it('has payloads where they are asked for, and as they were written', async () => {
    const server = await serveHere()
    const [plain, full] = [await listen(server.url), await listen(server.url, { query: '?payload=true' })]
    await schedule(server, 'a', { payload: { big: 1 } })
    await plain.came(1)
    await full.came(1)
    expect(plain.of()[0]?.data).not.toHaveProperty('payload')
    expect(full.of()[0]?.data).toMatchObject({ id: 'a', payload: { big: 1 } })
  })

  it('tells bursts as summaries unless all is asked for', async () => {
    const server = await serveHere()
    const [many, all] = [await listen(server.url), await listen(server.url, { query: '?detail=all' })]
    const messages = Array.from({ length: 450 }, (_, i) => ({ id: `m${i}`, at: LATER, payload: 1 }))
    await server.post('/v1/messages/batch', { messages })
    await all.came(450)
    expect(ids(all.of('scheduled')).sort()).toEqual(messages.map(({ id }) => id).sort())
    const count = () =>
      many.of().reduce((sum, { event, data }) => sum + (event === 'many' ? data.count : 1), 0)
    await until('all are counted', () => count() >= 450)
    expect(count()).toBe(450)
    expect(many.of('many')[0]?.data).toMatchObject({
      type: 'scheduled',
      byDestination: { console: expect.any(Number) },
    })
  })

  it('refuses what it cannot understand', async () => {
    const server = await serveHere()
    for (const query of [
      'types=sent',
      'types=',
      'destination=mail',
      'since=yesterday',
      'detail=few',
      'payload=yes',
    ])
      expect((await listen(server.url, { query: `?${query}` })).status, query).toBe(400)
    const { status, headers, body } = await listen(server.url, { headers: { accept: 'application/json' } })
    expect([status, headers['content-type']]).toEqual([406, 'application/problem+json; charset=utf-8'])
    expect(JSON.parse(body())).toMatchObject({
      status: 406,
      detail: 'accept: must include text/event-stream',
    })
  })

  it('needs the scope read', async () => {
    const { key, entry } = makeApiKey('reader', 'read')
    const other = makeApiKey('writer', 'write')
    const server = await serveHere({ API_KEYS: `${entry},${other.entry}` })
    const statusWith = async (headers: Record<string, string>) =>
      (await listen(server.url, { headers })).status
    expect(await statusWith({})).toBe(401)
    expect(await statusWith({ authorization: `Bearer ${other.key}` })).toBe(403)
    expect(await statusWith({ authorization: `Bearer ${key}` })).toBe(200)
  })

  it('is open 100 times at most, and again once one has gone', async () => {
    const server = await serveHere()
    const streams = await Promise.all(Array.from({ length: 100 }, () => listen(server.url)))
    expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]))
    const refused = await listen(server.url)
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1'])
    streams[0]?.close()
    await until('there is room', async () => (await listen(server.url)).status === 200)
  })

  it('says goodbye when its server stops, which does not wait for it', async () => {
    const server = await serveHere()
    const stream = await listen(server.url)
    await server.stop(60_000)
    await until('it ends', stream.hasEnded)
    expect(stream.of().map(({ event }) => event)).toEqual(['bye'])
  })

  it('sends a comment every 15 s, so that no proxy takes it for dead', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const server = await serveHere()
    const { comments } = await listen(server.url)
    expect(comments).toEqual([])
    vi.advanceTimersByTime(15_000)
    await until('a comment comes', () => comments.length > 0)
  })
})
