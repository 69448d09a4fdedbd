import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Lease } from '../../../src/leases/lease.ts'
import type { LeaseRef, Leases } from '../../../src/leases/leases.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw, rawPost } from '../../support/raw-http.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const DUE = Date.parse('2030-01-01T09:00:00.000Z')
const lease = (id: string, payload = '{"a":1}'): Lease => ({
  id,
  token: `token-of-${id}`,
  payload,
  dueAt: DUE,
  attemptDueAt: DUE,
  attempt: 2,
  claim: 4712,
  lateMs: 3,
})
const ref = (id: string, token = `token-of-${id}`): LeaseRef => ({ id, token })

/** What the routes ask of it, and what it answers: whether leases are kept is for the tests of the real one. */
class FakeLeases implements Leases {
  readonly asked: unknown[][] = []
  readonly signals: AbortSignal[] = []
  toClaim: Lease[] = []
  readonly lost = new Set<string>()
  /** claims nothing before the signal aborts */
  hangs = false
  slowlyAnswers: Promise<void> = Promise.resolve()

  /** the ids of leases that nobody took */
  readonly givenBack: string[] = []

  async claim(queue: string, args: { waitMs: number }, signal: AbortSignal): Promise<Lease[]> {
    this.asked.push(['claim', queue, args])
    this.signals.push(signal)
    if (!this.hangs || args.waitMs === 0) return this.toClaim
    if (!signal.aborted) await once(signal, 'abort')
    await this.slowlyAnswers
    return []
  }
  giveBack(given: readonly Lease[]): void {
    this.givenBack.push(...given.map(({ id }) => id))
  }
  acknowledge = async (refs: readonly LeaseRef[]) => this.#end('acknowledge', refs)
  release = async (refs: readonly LeaseRef[], delayMs: number | null) => this.#end('release', refs, delayMs)
  extend = async (refs: readonly LeaseRef[], lockMs: number) => this.#end('extend', refs, lockMs)

  #end(...asked: [verb: string, refs: readonly LeaseRef[], ...rest: unknown[]]): string[] {
    this.asked.push(asked)
    return asked[1].map(({ id }) => id).filter((id) => this.lost.has(id))
  }
}

let leases: FakeLeases
let app: FastifyInstance
beforeEach(async () => {
  leases = new FakeLeases()
  app = await httpApp({ leases, lockMs: 45_000 })
  onTestFinished(() => app.close()) // after the connections of the test
})

const post = async (url: string, payload?: unknown, headers: Record<string, string> = {}) => {
  const answer = await app.inject({
    method: 'POST',
    url: `/v1/queues/${url}`,
    headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(payload === undefined
      ? {}
      : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
  })
  return { status: answer.statusCode, type: answer.headers['content-type'], body: answer.json() }
}
const refused = (path: string, message: RegExp) => ({
  status: 400,
  body: { errors: expect.arrayContaining([{ path, message: expect.stringMatching(message) }]) },
})

describe('POST /v1/queues/:queue/claim', () => {
  it('answers what was claimed, its payload as JSON and its time as ISO 8601', async () => {
    leases.toClaim = [lease('a'), lease('b', 'null')]
    expect(await post('mails/claim', { limit: 2, lockMs: 1_000, waitMs: 30_000 })).toMatchObject({
      status: 200,
    })
    const { body } = await post('mails/claim', { limit: 2, lockMs: 1_000, waitMs: 30_000 })
    expect(body).toEqual({
      messages: [
        {
          id: 'a',
          token: 'token-of-a',
          payload: { a: 1 },
          at: '2030-01-01T09:00:00.000Z',
          attempt: 2,
          claim: 4712,
          lateMs: 3,
        },
        expect.objectContaining({ id: 'b', payload: null }),
      ],
    })
    expect(leases.asked[0]).toEqual(['claim', 'mails', { limit: 2, lockMs: 1_000, waitMs: 30_000 }])
  })

  it.each([
    ['{}', {}, {}],
    ['no body', undefined, {}],
    ['no body, said to be JSON', '', {}],
    ['no body, said to be text, as fetch does', '', { 'content-type': 'text/plain;charset=UTF-8' }],
  ])(
    'takes %s for the defaults: one message, at once, for as long as the server has it',
    async (_, payload, headers) => {
      expect(await post('mails/claim', payload, headers)).toMatchObject({
        status: 200,
        body: { messages: [] },
      })
      expect(leases.asked).toEqual([['claim', 'mails', { limit: 1, lockMs: 45_000, waitMs: 0 }]])
    },
  )

  it.each([
    [{ limit: 0 }, '/limit', /1 to 1000/],
    [{ limit: 1_001 }, '/limit', /1 to 1000/],
    [{ limit: '5' }, '/limit', /1 to 1000/],
    [{ lockMs: 999 }, '/lockMs', /1000 to 43200000/],
    [{ lockMs: 43_200_001 }, '/lockMs', /1000 to 43200000/],
    [{ waitMs: -1 }, '/waitMs', /0 to 30000/],
    [{ waitMs: 30_001 }, '/waitMs', /0 to 30000/],
    [{ wait: 1 }, '/wait', /unknown field/],
    [[], '', /a JSON object/],
    ['null', '', /a JSON object/],
  ])('refuses %j, and claims nothing', async (body, path, message) => {
    expect(await post('mails/claim', body)).toMatchObject(refused(path, message))
    expect(leases.asked).toEqual([])
  })

  it('takes every name of a queue, and no other', async () => {
    for (const name of ['a', 'A.b_c:d-9', 'q'.repeat(128)])
      expect((await post(`${name}/claim`)).status, name).toBe(200)
    for (const name of ['q'.repeat(129), 'a%20b', '%C3%BC', 'a%2Fb', '.%2F'])
      expect(await post(`${name}/claim`), name).toMatchObject(refused('/queue', /1 to 128/))
  })

  it('refuses a body of another type', async () => {
    expect(await post('mails/claim', 'limit=1', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
    })
    expect(leases.asked).toEqual([])
  })
})

describe('a long poll', () => {
  const WAIT = JSON.stringify({ waitMs: 30_000 })
  /** A poll over a real connection. */
  const poll = (url: string) => {
    const sent = httpRequest(`${url}/v1/queues/mails/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      agent: false,
    })
    sent.on('error', () => undefined)
    sent.end(WAIT)
    return sent
  }
  beforeEach(() => {
    leases.hangs = true
  })

  it('is told when its client has gone, and not before', async () => {
    const sent = poll(await app.listen({ port: 0 }))
    await until('it waits', () => leases.signals.length === 1)
    // Over another connection, so that the event loop has turned with the first one open.
    await app.inject('/live')
    expect(leases.signals[0]?.aborted).toBe(false)
    sent.destroy()
    await until('it was told', () => leases.signals[0]?.aborted === true)
  })

  it('claims nothing for a client that has gone before it was asked for', async () => {
    const gone = new Promise<void>((resolve) => {
      app.addHook('preHandler', async (request, reply) => {
        if (!request.url.endsWith('/claim')) return
        request.raw.socket.destroy()
        await once(reply.raw, 'close')
        setImmediate(resolve)
      })
    })
    poll(await app.listen({ port: 0 }))
    await gone
    await until('the handler is done', async () => (await app.inject('/live')).statusCode === 200)
    expect(leases.asked).toEqual([])
  })

  it('is answered with none when its server closes, which then waits for nothing more', async () => {
    const arrived: string[] = []
    app.addHook('onRequest', async ({ url }) => void arrived.push(url))
    let release = () => {}
    leases.slowlyAnswers = new Promise((resolve) => {
      release = resolve
    })
    const { port } = new URL(await app.listen({ port: 0 }))
    const socket = connect(Number(port), '127.0.0.1')
    const answer = text(socket)
    const request = `POST /v1/queues/mails/claim HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`
    const poll = `${request}content-length: ${WAIT.length}\r\n\r\n${WAIT}`
    socket.write(poll)
    await until('it waits', () => leases.signals.length === 1)

    const closed = app.close()
    await until('it was told', () => leases.signals[0]?.aborted === true)
    // On a connection that is in use still: it is too late for this one.
    socket.write(poll)
    await until('the other one has come', () => arrived.length === 2)
    const began = performance.now()
    release()
    await closed
    // A connection that is kept would be so for 72 seconds.
    expect(machineMs(began)).toBeLessThan(30_000)
    expect(await answer).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\n\{"messages":\[\]\}$/s)
    expect(leases.asked).toHaveLength(1)
  })
})

describe.each([
  ['acknowledge', 'acknowledged', {}, []],
  ['release', 'released', { delay: '90s' }, [90_000]],
  ['extend', 'extended', { lockMs: 5_000 }, [5_000]],
] as const)('POST /v1/queues/:queue/%s', (verb, done, more, asked) => {
  it('answers how many, and which were lost', async () => {
    leases.lost.add('b')
    const messages = [ref('a'), ref('b'), ref('c')]
    expect(await post(`mails/${verb}`, { messages, ...more })).toMatchObject({ status: 200 })
    expect((await post(`mails/${verb}`, { messages, ...more })).body).toEqual({ [done]: 2, lost: ['b'] })
    expect(leases.asked[0]).toEqual([verb, messages, ...asked])
  })

  it('answers 409 with the same members only if all were lost', async () => {
    leases.lost.add('a').add('b')
    const { status, type, body } = await post(`mails/${verb}`, { messages: [ref('b'), ref('a')], ...more })
    expect(status).toBe(409)
    expect(type).toMatch(/^application\/problem\+json/)
    expect(body).toEqual({
      type: 'urn:carillon:problem:leases-lost',
      title: 'Conflict',
      status: 409,
      detail: expect.any(String),
      [done]: 0,
      lost: ['b', 'a'],
    })
  })

  it('takes a lease that is named twice for one, and one with another token for another', async () => {
    const messages = [ref('a'), ref('a'), ref('a', 'an older one')]
    expect((await post(`mails/${verb}`, { messages, ...more })).body).toEqual({ [done]: 2, lost: [] })
    expect(leases.asked).toEqual([[verb, [ref('a'), ref('a', 'an older one')], ...asked]])
  })

  it('takes 1,000 leases', async () => {
    const messages = Array.from({ length: 1_000 }, (_, i) => ref(`m${i}`))
    expect((await post(`mails/${verb}`, { messages, ...more })).body).toEqual({ [done]: 1_000, lost: [] })
  })

  it.each([
    [{}, '/messages', /is missing/],
    ['', '', /a JSON object/],
    [{ messages: [] }, '/messages', /1 to 1000/],
    [{ messages: Array.from({ length: 1_001 }, (_, i) => ref(`m${i}`)) }, '/messages', /1 to 1000/],
    [{ messages: ['a'] }, '/messages/0', /id and token/],
    [{ messages: [{ id: 'a' }] }, '/messages/0/token', /is missing/],
    [{ messages: [{ token: 't' }] }, '/messages/0/id', /is missing/],
    [{ messages: [ref('a'.repeat(129))] }, '/messages/0/id', /id/],
    [{ messages: [ref('a', 't'.repeat(201))] }, '/messages/0/token', /token/],
    [{ messages: [{ ...ref('a'), payload: 1 }] }, '/messages/0/payload', /unknown field/],
    [{ messages: [ref('a')], reason: 'x' }, '/reason', /unknown field/],
  ])('refuses %j', async (body, path, message) => {
    expect(await post(`mails/${verb}`, body)).toMatchObject(refused(path, message))
    expect(leases.asked).toEqual([])
  })

  it('refuses the name of no queue', async () => {
    expect(await post(`a%20b/${verb}`, { messages: [ref('a')] })).toMatchObject(refused('/queue', /1 to 128/))
  })
})

it('releases without a delay for the wait of the retry policy, and at once with 0', async () => {
  await post('mails/release', { messages: [ref('a')] })
  await post('mails/release', { messages: [ref('a')], delay: 0 })
  expect(leases.asked).toEqual([
    ['release', [ref('a')], null],
    ['release', [ref('a')], 0],
  ])
})

it.each([
  [-1, /0 or more/],
  ['3w', /s, m, h, d/],
  ['99999999d', /9999/],
  [null, /whole milliseconds/],
])('refuses to release with a delay of %j', async (delay, message) => {
  expect(await post('mails/release', { messages: [ref('a')], delay })).toMatchObject(
    refused('/delay', message),
  )
  expect(leases.asked).toEqual([])
})

it('extends, unless told otherwise, for as long as the server has it', async () => {
  await post('mails/extend', { messages: [ref('a')] })
  expect(leases.asked).toEqual([['extend', [ref('a')], 45_000]])
  for (const lockMs of [999, 43_200_001])
    expect(await post('mails/extend', { messages: [ref('a')], lockMs })).toMatchObject(
      refused('/lockMs', /1000/),
    )
})

describe('a worker that closes its side of the connection', () => {
  const claim = (waitMs: number) => rawPost('/v1/queues/jobs/claim', JSON.stringify({ waitMs }))
  const listen = () => app.listen({ port: 0, host: '127.0.0.1' })

  it.each([0, 20_000])(
    'gets what there is when it closes with its request and waits %i ms',
    async (waitMs) => {
      leases.hangs = true
      leases.toClaim = [lease('a')]
      const worker = await connectRaw(await listen())
      worker.socket.end(claim(waitMs))
      const answer = await worker.closed()
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ messages: [{ id: 'a' }] })
      expect(leases.givenBack).toEqual([])
    },
  )

  it('is answered at once when it closes while it waits', async () => {
    leases.hangs = true
    const worker = await connectRaw(await listen())
    worker.socket.write(claim(20_000))
    await until('it waits', () => leases.asked.length === 1)
    worker.socket.end()
    expect(await worker.closed()).toMatch(/^HTTP\/1\.1 200 .*{"messages":\[\]}$/s)
  })

  it('keeps no lease once it is gone', async () => {
    leases.hangs = true
    leases.toClaim = [lease('a'), lease('b')]
    const worker = await connectRaw(await listen())
    worker.socket.write(claim(20_000))
    await until('it waits', () => leases.asked.length === 1)
    worker.socket.destroy()
    await until('the leases are given back', () => leases.givenBack.length === 2)
    expect(leases.givenBack).toEqual(['a', 'b'])
  })
})
