import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { httpApp } from '../../support/http-app.ts'

let asked: unknown[][]
let unreadable: number
let app: FastifyInstance
beforeEach(async () => {
  asked = []
  unreadable = 0
  // What becomes of dead messages is for the tests of the real one.
  const deadLetters = {
    redrive: async (...args: unknown[]) => {
      asked.push(['redrive', ...args])
      return { redriven: 2, unreadable, unknown: ['none'] }
    },
    remove: async (...args: unknown[]) => {
      asked.push(['remove', ...args])
      return 3
    },
  }
  app = await httpApp({ deadLetters })
})
afterEach(() => app.close())

const send = async (method: 'POST' | 'DELETE', url: string, payload?: unknown) => {
  const answer = await app.inject({
    method,
    url,
    headers: { 'content-type': 'application/json' },
    ...(payload === undefined ? {} : { payload: JSON.stringify(payload) }),
  })
  return { status: answer.statusCode, body: answer.json() }
}
const redrive = (body?: unknown) => send('POST', '/v1/dead/redrive', body)
const remove = (body?: unknown) => send('DELETE', '/v1/dead', body)

describe('POST /v1/dead/redrive', () => {
  it.each([
    [{ ids: ['a', '~b', 'none'] }, { ids: ['a', '~b', 'none'] }, null],
    [{ tag: 't' }, { tag: 't' }, null],
    [{ all: true }, { all: true }, null],
    [{ all: true, perSecond: 1_000_000 }, { all: true }, 1_000_000],
    [{ tag: 't', perSecond: 0.5 }, { tag: 't' }, 0.5],
  ])('takes %j', async (body, selection, perSecond) => {
    expect(await redrive(body)).toEqual({ status: 200, body: { redriven: 2, unknown: ['none'] } })
    expect(asked).toEqual([['redrive', selection, perSecond, null]])
  })

  it('tells how many cannot be read', async () => {
    unreadable = 1
    expect((await redrive({ all: true })).body).toEqual({ redriven: 2, unreadable: 1, unknown: ['none'] })
  })

  it.each([0, 1e-320, -1, 1_000_001, '5', null])('refuses %j a second', async (perSecond) => {
    expect(await redrive({ all: true, perSecond })).toMatchObject({
      status: 400,
      body: {
        errors: [{ path: '/perSecond', message: expect.stringMatching(/0\.000001 to 1000000/) }],
      },
    })
    expect(asked).toEqual([])
  })
})

describe('DELETE /v1/dead', () => {
  it.each([{ ids: ['a'] }, { tag: 't' }, { all: true }])('takes %j', async (body) => {
    expect(await remove(body)).toEqual({ status: 200, body: { deleted: 3 } })
    expect(asked).toEqual([['remove', body, null]])
  })

  it('refuses perSecond, which would say nothing', async () => {
    expect(await remove({ all: true, perSecond: 5 })).toMatchObject({
      status: 400,
      body: { errors: [{ path: '/perSecond', message: expect.stringMatching(/unknown field/) }] },
    })
    expect(asked).toEqual([])
  })
})

describe.each([
  ['POST /v1/dead/redrive', redrive],
  ['DELETE /v1/dead', remove],
])('%s', (_name, ask) => {
  it.each([
    [{}, '', /exactly one/],
    [{ ids: ['a'], tag: 't' }, '', /exactly one/],
    [{ all: true, ids: [] }, '', /exactly one/],
    [{ all: true, tag: 't' }, '', /exactly one/],
    [{ all: false }, '/all', /true/],
    [{ tag: '' }, '/tag', /1 to 64/],
    [{ ids: 'a' }, '/ids', /10,000/],
    [{ ids: [''] }, '/ids/0', /id/],
    [{ id: 'a' }, '/id', /unknown field/],
    [[], '', /a JSON object/],
    [undefined, '', /JSON object/],
  ])('refuses %j, and does nothing', async (body, path, message) => {
    expect(await ask(body)).toMatchObject({
      status: 400,
      body: body === undefined ? {} : { errors: [{ path, message: expect.stringMatching(message) }] },
    })
    expect(asked).toEqual([])
  })

  it('takes 10,000 ids and no more', async () => {
    const ids = Array.from({ length: 10_001 }, (_, i) => `m${i}`)
    expect((await ask({ ids: ids.slice(1) })).status).toBe(200)
    expect(await ask({ ids })).toMatchObject({ status: 400, body: { errors: [{ path: '/ids' }] } })
  })
})
