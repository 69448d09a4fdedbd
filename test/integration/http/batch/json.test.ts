import Fastify from 'fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { SchedulerError } from '../../../../src/domain/errors.ts'
import { errors } from '../../../../src/http/plugins/errors.ts'
import { batchRoutes } from '../../../../src/http/v1/batch/routes.ts'
import { validatorCompiler } from '../../../../src/http/validation/validation.ts'
import type { Scheduled } from '../../../../src/messages/new-message.ts'
import type { Scheduler } from '../../../../src/messages/scheduler.ts'
import { BATCH_LIMIT, LIMIT, later, PATH, type Result, useBatchApi } from '../../../support/batch-api.ts'

const { world, stored, postLines, payloads } = useBatchApi()

const postText = (text: string, type = 'application/json') =>
  world().app.inject({ method: 'POST', url: PATH, headers: { 'content-type': type }, payload: text })

const postBatch = async (messages: unknown[]) => {
  const answer = await postText(JSON.stringify({ messages }))
  expect(answer.statusCode).toBe(200)
  return answer.json<{ results: Result[] }>().results
}

describe('a JSON batch', () => {
  it('is answered in order, and the messages are there', async () => {
    const wanted = Array.from({ length: 2_500 }, (_, i) => `message ${i}`)
    const results = await postBatch(wanted.map(later))
    expect(results.every((result) => result.status === 201)).toBe(true)
    expect(await payloads(results)).toEqual(wanted)
  })

  it('stores what is right and names what is wrong in the words of the single route', async () => {
    const wrong = [
      { payload: 1, at: 5 },
      { payload: 1, id: '../x' },
      { delay: '1h', id: 'fine' },
      { payload: 1, more: 1 },
      5,
      null,
      { payload: 1, at: '2030-01-01T00:00:00Z', delay: 1 },
      { payload: 1, notAfter: '2001-01-01T00:00:00Z' },
    ]
    const mixed = wrong.flatMap((message, i) => [message, later(i)])
    const results = await postBatch(mixed)
    for (const [i, message] of mixed.entries()) {
      const { app } = world()
      const single = await app.inject({
        method: 'POST',
        url: '/v1/messages',
        payload: JSON.stringify(message),
        headers: { 'content-type': 'application/json' },
      })
      if (i % 2 === 1) expect(results[i]).toEqual({ id: expect.stringMatching(/^~/), status: 201 })
      else {
        expect(results[i]).toMatchObject({ status: 400, detail: single.json<Result>().detail })
        expect(single.statusCode).toBe(400)
      }
    }
    expect(results[4]?.id).toBe('fine')
    expect(results[2]?.id).toBeUndefined()
  })

  it('tells known ids from new ones, also among its own', async () => {
    const message = { id: 'a', ...later(1) }
    const results = await postBatch([message, message, { ...message, payload: 2 }])
    expect(results).toEqual([
      { id: 'a', status: 201 },
      { id: 'a', status: 200 },
      { id: 'a', status: 409, code: 'id_conflict', detail: expect.stringMatching(/^id: already in use/) },
    ])
    expect(await stored()).toBe(1)
  })

  it('takes 10,000 messages, and none of 10,001', async () => {
    const tooMany = await postText(JSON.stringify({ messages: Array(10_001).fill(later(1)) }))
    expect(tooMany.statusCode).toBe(400)
    expect(tooMany.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(tooMany.json()).toMatchObject({
      detail: 'messages: must be an array of up to 10,000 messages',
    })
    expect(await stored()).toBe(0)
    expect(await postBatch(Array(10_000).fill(later(1)))).toHaveLength(10_000)
    expect(await stored()).toBe(10_000)
  })

  it('may be empty', async () => {
    expect(await postBatch([])).toEqual([])
  })

  it.each([
    ['an array', '[]', 400],
    ['no messages', '{}', 400],
    ['messages that are no array', '{"messages":{}}', 400],
    ['an unknown field', '{"messages":[],"more":1}', 400],
    ['null', 'null', 400],
    ['broken JSON', '{"messages":[', 400],
    ['nothing', '', 400],
    ['more than the limit', `{"messages":["${'x'.repeat(BATCH_LIMIT)}"]}`, 413],
  ])('is one problem if it is %s', async (_what, text, status) => {
    const answer = await postText(text)
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ status, detail: expect.any(String) })
  })

  it('has one 413 result for a message over the limit', async () => {
    const fill = LIMIT - Buffer.byteLength(JSON.stringify(later('')))
    const results = await postBatch([
      later('x'.repeat(fill)),
      later('x'.repeat(fill + 1)),
      later('ä'.repeat(fill / 2 + 1)),
      later(1),
    ])
    expect(results.map((result) => result.status)).toEqual([201, 413, 413, 201])
    expect(results[1]).toEqual({ status: 413, code: 'too_large', detail: 'body: is too large' })
  })

  it('has one failed result for a message nested too deeply, as do lines', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const answer = await postText(`{"messages":[{"payload":${deep}},${JSON.stringify(later(1))}]}`)
    expect(answer.json<{ results: Result[] }>().results.map((result) => result.status)).toEqual([400, 201])
    const lines = await postLines(
      `{"payload":${deep.slice(99_499, 100_501)}}\n{"payload":${deep.slice(99_500, 100_500)}}`,
    )
    expect(lines.map((result) => result.status)).toEqual([400, 201])
  })
})

describe('another content type', () => {
  it.each([['text/plain'], ['application/xml'], ['application/json-seq']])(
    '%s is 415, naming both',
    async (type) => {
      const answer = await postText('x', type)
      expect(answer.statusCode).toBe(415)
      expect(answer.json()).toMatchObject({
        status: 415,
        detail: 'content-type: must be application/json or application/x-ndjson',
      })
    },
  )

  it('is 415 when it is missing, too', async () => {
    expect((await world().app.inject({ method: 'POST', url: PATH })).statusCode).toBe(415)
  })
})

describe('when Redis leaves messages unconfirmed', () => {
  /** The route on a scheduler that has Redis fail for every payload above `last`. */
  async function postFailing(last: number, messages: unknown[]) {
    const app = Fastify()
    onTestFinished(() => app.close())
    app.setValidatorCompiler(validatorCompiler)
    await app.register(errors)
    const schedule: Scheduler['schedule'] = async ({ payload }) => {
      if (Number(payload) > last)
        throw new SchedulerError('STORE_UNAVAILABLE', 'away', { outcomeUnknown: true })
      return { id: `~0${payload}`, dueAt: 0, createdAt: 0, duplicate: false } satisfies Scheduled
    }
    const scheduler = { schedule } as Scheduler
    await app.register(batchRoutes, {
      scheduler,
      now: Date.now,
      checkDestination: () => [],
      bodyLimit: LIMIT,
      batchBodyLimit: BATCH_LIMIT,
      prefix: '/v1',
    })
    return app.inject({ method: 'POST', url: PATH, payload: { messages } })
  }

  it('they get 503 and the others their own', async () => {
    const answer = await postFailing(1, [later(1), later(2), 'wrong'])
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      results: [
        { id: '~01', status: 201 },
        { status: 503, code: 'store_unavailable', detail: expect.stringMatching(/^Redis is not answering/) },
        { status: 400, code: 'invalid', detail: expect.any(String) },
      ],
    })
  })

  it('the whole batch is a 503 problem if none was stored', async () => {
    const answer = await postFailing(0, ['wrong', later(1), later(2)])
    expect(answer.statusCode).toBe(503)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.json()).toMatchObject({ type: 'urn:carillon:problem:store-unavailable', status: 503 })
  })

  it('a batch that is wrong altogether is no failure of Redis', async () => {
    expect((await postFailing(0, ['wrong'])).statusCode).toBe(200)
  })
})
