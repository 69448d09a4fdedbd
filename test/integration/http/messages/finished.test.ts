import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { messagesApi } from '../../../support/messages-api.ts'

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

describe('without a history', () => {
  const bare = useApp({ HISTORY_MAX: '0' })

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
