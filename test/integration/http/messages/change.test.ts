import { describe, expect, it } from 'vitest'
import { useApp } from '../../../support/app.ts'
import { IN_AN_HOUR, messagesApi, problem } from '../../../support/messages-api.ts'

const world = useApp()

const { send, post } = messagesApi(world)

describe('PATCH /v1/messages/:id', () => {
  it('changes what is named and leaves the rest', async () => {
    await post({
      id: 'a',
      delay: '1h',
      payload: 1,
      tags: ['x'],
      retry: { attempts: 2 },
      notAfter: '2099-01-01T00:00:00Z',
      onLate: 'drop',
    })
    const { status, headers, body } = await send('PATCH', '/v1/messages/a', { tags: ['y'], onLate: null })
    expect(status).toBe(200)
    expect(headers.etag).toBe('"2"')
    expect(body).toMatchObject({
      payload: 1,
      tags: ['y'],
      retry: { attempts: 2 },
      notAfter: '2099-01-01T00:00:00.000Z',
      version: 2,
    })
    expect(body).not.toHaveProperty('onLate')
    const list = async (tag: string) => (await send('GET', `/v1/messages?tag=${tag}`)).body.messages
    expect(await list('x')).toEqual([])
    expect(await list('y')).toHaveLength(1)
  })

  it.each([
    ['"1"', 200],
    ['"7", "1"', 200],
    ['*', 200],
    ['"2"', 412],
    ['W/"1"', 412],
    ['1', 412],
    ['', 412],
  ])('answers If-Match %s with %i', async (ifMatch, status) => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', { payload: 2 }, { 'if-match': ifMatch })).status).toBe(
      status,
    )
    expect((await send('GET', '/v1/messages/a')).body.payload).toBe(status === 200 ? 2 : 1)
  })

  it.each([
    [{}, 400],
    [{ at: null }, 400],
    [{ payload: 1, id: 'b' }, 400],
    [{ notAfter: '2020-01-01T00:00:00Z' }, 400],
    [{ onLate: 'drop' }, 400],
    [{ retry: { minMs: 10, maxMs: 5 } }, 400],
    [{ retry: null, notAfter: null }, 200],
    [{ payload: null }, 200],
    [{ at: IN_AN_HOUR, delay: 5 }, 400],
  ])('answers %j with %i', async (change, status) => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('PATCH', '/v1/messages/a', change)).status).toBe(status)
  })

  it('answers 404 before 412', async () => {
    expect(await send('PATCH', '/v1/messages/none', { payload: 1 }, { 'if-match': '"9"' })).toMatchObject(
      problem(404),
    )
  })
})

describe('DELETE /v1/messages/:id', () => {
  it('answers 204, and the id is free again', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"2"' })).status).toBe(412)
    expect((await send('DELETE', '/v1/messages/a', undefined, { 'if-match': '"1"' })).status).toBe(204)
    expect(await send('DELETE', '/v1/messages/a')).toMatchObject(problem(404))
    expect((await post({ id: 'a', delay: '1h', payload: 2 })).status).toBe(201)
  })

  it('takes a request with a content type and no body', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect(
      (await send('DELETE', '/v1/messages/a', undefined, { 'content-type': 'application/json' })).status,
    ).toBe(204)
  })
})

describe('a wrong destination', () => {
  const destination = { type: 'webhook', url: 5 }
  const detail = /^destination\.url: must be an http or https URL/

  it('is refused in PATCH', async () => {
    await post({ id: 'a', delay: '1h', payload: 1 })
    expect(await send('PATCH', '/v1/messages/a', { destination })).toMatchObject(problem(400, detail))
    expect((await send('GET', '/v1/messages/a')).body).toMatchObject({ version: 1 })
  })

  it('is refused in a batch, and alone', async () => {
    const { body } = await send('POST', '/v1/messages/batch', {
      messages: [
        { payload: 1, destination },
        { payload: 1, delay: '1h' },
      ],
    })
    expect(body.results).toEqual([
      { status: 400, code: 'invalid', detail: expect.stringMatching(detail) },
      { id: expect.any(String), status: 201 },
    ])
  })
})
