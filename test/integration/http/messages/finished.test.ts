import { describe, expect, it } from 'vitest'
import { makeApiKey } from '../../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../../support/app.ts'
import { messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

describe('a message that is finished', () => {
  const deliver = async (body: Record<string, unknown>) => {
    const created = await post(body)
    world().startClaiming()
    await expect.poll(() => world().delivered).toContain(created.body.id)
    await expect
      .poll(async () => (await send('GET', `/v1/messages/${created.body.id}`)).body.status)
      .toBe('delivered')
    return created
  }

  it('is told of by its history: delivered, when and how late', async () => {
    const { body } = await deliver({ id: 'a', payload: { x: 1 }, tags: ['t'] })
    const { status, body: known } = await send('GET', '/v1/messages/a')
    expect(status).toBe(200)
    expect(known).toMatchObject({
      ...body,
      status: 'delivered',
      finishedAt: expect.stringMatching(/Z$/),
      lateMs: expect.any(Number),
    })
    expect((await send('GET', '/v1/messages?status=delivered')).body.messages).toEqual([known])
    expect((await send('GET', '/v1/messages?tag=t')).body.messages).toEqual([])
  })

  it('keeps no payload over 1 KiB', async () => {
    await deliver({ id: 'a', payload: 'x'.repeat(1_100) })
    const { body } = await send('GET', '/v1/messages/a')
    expect(body.payloadOmitted).toBe(true)
    expect(body).not.toHaveProperty('payload')
  })

  it('can be changed and cancelled no more, and its id stays known', async () => {
    await deliver({ id: 'a', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', { payload: 2 })).status).toBe(409)
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"9"' })).status).toBe(409)
    expect(await post({ id: 'a', payload: 1 })).toMatchObject({
      status: 200,
      body: { status: 'delivered', duplicate: true },
    })
    expect((await post({ id: 'a', payload: 2 })).status).toBe(409)
  })
})

describe('a message that is cancelled', () => {
  it('is told of as long as the history has it, and its id is free at once', async () => {
    const { body } = await post({ id: 'a', delay: '1h', payload: { x: 1 }, tags: ['t'] })
    expect((await send('DELETE', '/v1/messages/a')).status).toBe(204)
    const { status, body: known } = await send('GET', '/v1/messages/a')
    expect(status).toBe(200)
    expect(known).toEqual({ ...body, status: 'cancelled', finishedAt: expect.stringMatching(/Z$/) })
    expect((await send('GET', '/v1/messages?status=cancelled')).body.messages).toEqual([known])
    expect((await send('GET', '/v1/messages?tag=t')).body.messages).toEqual([])
    expect((await send('GET', '/v1/messages?status=cancelled&tag=t')).status).toBe(400)

    expect((await send('DELETE', '/v1/messages/a')).status).toBe(404)
    expect(await send('PATCH', '/v1/messages/a', { payload: 2 })).toMatchObject(problem(409, /cancelled/))
    const again = await post({ id: 'a', delay: '2h', payload: 2 })
    expect(again).toMatchObject({ status: 201, body: { status: 'scheduled', version: 1 } })
    expect((await send('GET', '/v1/messages/a')).body).toEqual(again.body)
    expect((await send('GET', '/v1/messages?status=cancelled')).body.messages).toEqual([])
  })

  it('may have been cancelled by ids or by tag, or have been a dead letter', async () => {
    await post({ id: 'by-id', delay: '1h', payload: 1 })
    await post({ id: 'by-tag', delay: '1h', payload: 1, tags: ['t'] })
    const soon = new Date(Date.now() + 1_000).toISOString()
    await post({ id: 'dead', at: soon, notAfter: soon, onLate: 'dead-letter', payload: 1 })
    await expect.poll(() => new Date().toISOString() > soon).toBe(true)
    world().startClaiming()
    await expect.poll(async () => (await send('GET', '/v1/messages/dead')).body.status).toBe('dead')
    await send('POST', '/v1/messages/cancel', { ids: ['by-id'] })
    await send('POST', '/v1/messages/cancel', { tag: 't' })
    await send('DELETE', '/v1/dead', { ids: ['dead'] })
    for (const id of ['by-id', 'by-tag', 'dead']) {
      expect((await send('GET', `/v1/messages/${id}`)).body.status).toBe('cancelled')
    }
    expect((await send('GET', '/v1/messages/dead')).body).toMatchObject({ reason: 'expired', attempts: 0 })
    const metrics = (await world().app.inject({ method: 'GET', url: '/metrics' })).body
    expect(metrics).toContain('carillon_cancelled_total 3')
  })
})

describe('with API keys', () => {
  const KEYS = [makeApiKey('ops', 'read+write'), makeApiKey('shop', 'read+write')]
  const keyed = useApp({ API_KEYS: KEYS.map(({ entry }) => entry).join(',') })
  const asks = messagesApi(keyed)
  const as = (i: number) => ({ authorization: `Bearer ${KEYS[i]?.key}` })

  it('names who cancelled a message, and who changed it', async () => {
    const message = { id: 'a', delay: '1h', payload: 1, tags: ['t'] }
    await asks.send('POST', '/v1/messages', message, as(1))
    await asks.send('PATCH', '/v1/messages/a', { payload: 2 }, as(0))
    await asks.send('POST', '/v1/messages/shift', { tag: 't', byMs: 5 }, as(1))
    await asks.send('POST', '/v1/messages/cancel', { tag: 't' }, as(0))
    expect((await asks.send('GET', '/v1/messages/a', undefined, as(1))).body).toMatchObject({
      ...{ status: 'cancelled', cancelledBy: 'ops' },
    })
    expect((await asks.send('GET', '/v1/messages/a/why', undefined, as(1))).body).toMatchObject({
      ...{ reason: 'cancelled', details: { by: 'ops' } },
    })
    expect((await asks.send('GET', '/v1/messages/a/timeline', undefined, as(1))).body.entries).toMatchObject([
      { event: 'created' },
      { event: 'changed', version: 2, by: 'ops' },
      { event: 'changed', version: 3, by: 'shop' },
      { event: 'cancelled', by: 'ops' },
    ])
  })
})

describe('without a history', () => {
  const bare = useApp({ HISTORY_MAX: '0' })

  it('a cancelled message is forgotten at once', async () => {
    const { send, post } = messagesApi(bare)
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('DELETE', '/v1/messages/a')).status).toBe(204)
    expect((await send('GET', '/v1/messages/a')).status).toBe(404)
    expect((await send('GET', '/v1/messages/a/why')).body).toMatchObject({
      ...{ reason: 'unknown', details: { historyMax: 0 } },
    })
    const { client, keysFor } = bare()
    const { cancelled, cancellations } = keysFor('a')
    expect(await client.exists(cancelled, cancellations)).toBe(0)
  })

  it('a finished message is known by its id and status only', async () => {
    const { app, startClaiming, delivered } = bare()
    const body = { id: 'a', payload: 1 }
    await app.inject({ method: 'POST', url: '/v1/messages', payload: body })
    startClaiming()
    await expect.poll(() => delivered).toEqual(['a'])
    await expect
      .poll(async () => (await app.inject({ method: 'POST', url: '/v1/messages', payload: body })).json())
      .toEqual({ id: 'a', status: 'delivered', duplicate: true })
  })
})

describe('what somebody else has damaged', () => {
  it.each([['garbage'], ['5{"t":[{}],"v":"x","f":[]}\n1'], ['5\n{"a":'], ['']])(
    'is shown with its raw text %j, listed, and can be deleted',
    async (raw) => {
      const { client, keysFor } = world()
      await post({ id: 'broken', delay: '1h', payload: 1, tags: ['t'] })
      await post({ id: 'other', delay: '1h', payload: 1, tags: ['t'] })
      await client.hset(keysFor('broken').messages, 'broken', raw)
      const shown = { id: 'broken', status: 'scheduled', unreadable: true, raw }
      expect(await send('GET', '/v1/messages/broken')).toMatchObject({ status: 200, body: shown })
      expect((await send('GET', '/v1/messages')).body.messages).toEqual(
        expect.arrayContaining([shown, expect.objectContaining({ id: 'other' })]),
      )
      expect((await send('DELETE', '/v1/messages/broken')).status).toBe(204)
      expect((await send('POST', '/v1/messages/cancel', { tag: 't' })).body).toEqual({
        cancelled: 1,
        claimed: 0,
      })
    },
  )

  it('is shown in the history, too', async () => {
    const { client, keysFor } = world()
    const { history, delivered } = keysFor('a')
    await client.hset(history, 'a', 'garbage')
    await client.zadd(delivered, Date.now(), 'a')
    const shown = { id: 'a', status: 'delivered', unreadable: true, raw: 'garbage' }
    expect(await send('GET', '/v1/messages/a')).toMatchObject({ status: 200, body: shown })
    expect((await send('GET', '/v1/messages?status=delivered')).body.messages).toEqual([shown])
  })
})
