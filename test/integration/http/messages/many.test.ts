import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

describe('many at once', () => {
  it('are cancelled by tag or by ids, once each', async () => {
    await Promise.all(
      Array.from({ length: 1_200 }, (_, i) =>
        post({ id: `m${i}`, delay: '1h', payload: i, tags: [i < 1_100 ? 'a' : 'b'] }),
      ),
    )
    expect((await send('POST', '/v1/messages/cancel', { tag: 'a' })).body).toEqual({
      cancelled: 1_100,
      claimed: 0,
    })
    expect((await send('POST', '/v1/messages/cancel', { tag: 'a' })).body).toEqual({
      cancelled: 0,
      claimed: 0,
    })
    expect(
      (await send('POST', '/v1/messages/cancel', { ids: ['m1100', 'm1100', 'm0', 'none'] })).body,
    ).toEqual({ cancelled: 1, claimed: 0 })
    expect(await world().stored()).toBe(99)
  })

  it.each([3_600_000, -1_800_000])(
    'are moved by %i ms, each once, their order kept, notAfter along',
    async (byMs) => {
      const due = (i: number) => Date.parse(IN_AN_HOUR) + (i % 700) * 100
      await Promise.all(
        Array.from({ length: 1_100 }, (_, i) =>
          post({
            id: `m${i}`,
            at: due(i),
            payload: i,
            tags: ['t'],
            ...(i === 7 ? { notAfter: due(i) + 50 } : {}),
          }),
        ),
      )
      expect((await send('POST', '/v1/messages/shift', { tag: 't', byMs })).body).toEqual({ shifted: 1_100 })
      const { client, shards } = world()
      const scores = (
        await Promise.all(shards.map((keys) => client.zrange(keys.scheduled, '0', '-1', 'WITHSCORES')))
      ).flat()
      expect(scores).toHaveLength(2 * 1_100)
      for (let i = 0; i < scores.length; i += 2)
        expect(Number(scores[i + 1])).toBe(due(Number(scores[i]?.slice(1))) + byMs)
      expect((await send('GET', '/v1/messages/m7')).body).toMatchObject({
        at: new Date(due(7) + byMs).toISOString(),
        notAfter: new Date(due(7) + byMs + 50).toISOString(),
        version: 2,
      })
    },
  )

  it.each([{}, { tag: 'a', ids: ['b'] }, { tag: 5 }, { ids: 'a' }])('refuse %j', async (body) => {
    expect((await send('POST', '/v1/messages/cancel', body)).status).toBe(400)
    expect((await send('POST', '/v1/messages/shift', { ...body, byMs: 1 })).status).toBe(400)
  })
})

describe('GET /v1/forecast', () => {
  it('counts what falls due in each bucket, empty ones included', async () => {
    const from = Date.parse(IN_AN_HOUR)
    for (const offset of [0, 999, 1_000, 2_999, 4_000, 5_000]) await post({ at: from + offset, payload: 1 })
    const { body } = await send('GET', `/v1/forecast?from=${from}&to=${from + 5_000}&bucketMs=1000`)
    expect(body.buckets).toEqual(
      [2, 1, 1, 0, 1].map((count, i) => ({ at: new Date(from + i * 1_000).toISOString(), count })),
    )
  })

  it.each(['bucketMs=0', 'bucketMs=1', 'from=2030-01-01T00:00:00Z&to=2029-01-01T00:00:00Z', 'to=x'])(
    'refuses %s',
    async (query) => {
      expect((await send('GET', `/v1/forecast?${query}`)).status).toBe(400)
    },
  )
})

describe('GET /v1/stats', () => {
  it('tells what there is, and who serves it', async () => {
    await post({ delay: '1h', payload: 1 })
    world().startClaiming()
    await expect.poll(async () => (await send('GET', '/v1/stats')).body.servers).toHaveLength(1)
    expect((await send('GET', '/v1/stats')).body).toMatchObject({
      counts: { scheduled: 1, claimed: 0, dead: 0 },
      oldestOverdueMs: 0,
      servers: [{ roles: ['api', 'worker'], version: '0.1.0', startedAt: expect.stringMatching(/Z$/) }],
      streams: [],
      redis: { version: expect.stringMatching(/^\d+\./), usedMemoryBytes: expect.any(Number) },
    })
  })
})

describe('everything else under /v1', () => {
  it('is a problem', async () => {
    expect(await send('GET', '/v1/nothing')).toMatchObject(problem(404))
    expect(await send('POST', '/v1/messages', 'x'.repeat(1_100_000))).toMatchObject(problem(413))
    const broken = await world().app.inject({
      method: 'POST',
      url: '/v1/messages',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    })
    expect(broken.statusCode).toBe(400)
    expect(broken.json()).toMatchObject({ status: 400, detail: 'body: is not valid JSON' })
    const typed = await world().app.inject({
      method: 'POST',
      url: '/v1/messages',
      payload: 'a=1',
      headers: { 'content-type': 'text/plain' },
    })
    expect(typed.statusCode).toBe(415)
    expect(typed.headers['content-type']).toMatch(/^application\/problem\+json/)
  })
})
