import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Destination } from '../../../src/domain/message.ts'
import type { FieldError } from '../../../src/http/validation/validation.ts'
import type { Message } from '../../../src/messages/message-view.ts'
import type { NewMessage } from '../../../src/messages/new-message.ts'
import type { Patch, Scheduler } from '../../../src/messages/scheduler.ts'
import { httpApp } from '../../support/http-app.ts'

const AT = Date.parse('2030-01-01T09:00:00.000Z')
const STORED: Message = {
  id: 'a',
  status: 'scheduled',
  dueAt: AT,
  payload: '1',
  destination: { type: 'console' },
  tags: [],
  failures: 0,
  recoveries: 0,
  version: 1,
  createdAt: AT,
}

let scheduled: NewMessage[]
let patches: Patch[]
let checked: Destination[]
let found: Message
let wrong: FieldError[]
let app: FastifyInstance
beforeEach(async () => {
  scheduled = []
  patches = []
  checked = []
  found = STORED
  wrong = []
  const scheduler: Scheduler = {
    async schedule(message) {
      scheduled.push(message)
      return { id: 'a', dueAt: AT, createdAt: AT, duplicate: false }
    },
    find: async () => found,
    async reschedule(_id, patch) {
      patches.push(patch)
      return { ...STORED, destination: patch.options.destination ?? STORED.destination }
    },
    deliver: async () => STORED,
    cancel: async () => undefined,
  }
  app = await httpApp({
    scheduler,
    checkDestination(destination) {
      checked.push(destination)
      return wrong
    },
  })
})
afterEach(() => app.close())

const send = async (method: 'GET' | 'POST' | 'PATCH', url: string, payload?: object) => {
  const answer = await app.inject({ method, url, ...(payload === undefined ? {} : { payload }) })
  return { status: answer.statusCode, body: answer.json() }
}
const WEBHOOK: Destination = { type: 'webhook', url: 'https://shop.example.com/hook' }

describe('a destination', () => {
  it.each<[Destination]>([
    [{ type: 'console' }],
    [WEBHOOK],
    [{ ...WEBHOOK, method: 'GET', headers: { 'x-a': '', ['__proto__']: 'b' }, timeoutMs: 100 }],
    [{ ...WEBHOOK, method: 'POST', headers: {}, timeoutMs: 3_600_000 }],
    [{ ...WEBHOOK, method: 'PUT' }],
    [{ ...WEBHOOK, method: 'PATCH' }],
    [{ ...WEBHOOK, method: 'DELETE' }],
    [{ type: 'stream', name: 'A.b_c:d-9' }],
    [{ type: 'stream', name: 'n'.repeat(128), maxLen: 1 }],
    [{ type: 'stream', name: 'n', maxLen: 1_000_000_000 }],
    [{ type: 'pull', queue: 'q'.repeat(128) }],
  ])('%j is taken, checked, and answered as it came', async (destination) => {
    const created = await send('POST', '/v1/messages', { payload: 1, destination })
    expect(created).toMatchObject({ status: 201 })
    expect(created.body.destination).toEqual(destination)
    expect(scheduled[0]?.options?.destination).toEqual(destination)

    const changed = await send('PATCH', '/v1/messages/a', { destination })
    expect(changed).toMatchObject({ status: 200 })
    expect(changed.body.destination).toEqual(destination)
    expect(patches[0]?.options.destination).toEqual(destination)

    const batch = await send('POST', '/v1/messages/batch', { messages: [{ payload: 1, destination }] })
    expect(batch.body.results).toEqual([{ id: 'a', status: 201 }])
    expect(checked).toEqual([destination, destination, destination])
  })

  it('is not checked where there is none', async () => {
    await send('POST', '/v1/messages', { payload: 1 })
    await send('PATCH', '/v1/messages/a', { tags: [] })
    expect(checked).toEqual([])
  })

  it.each([
    { type: 'pull', queue: '.' },
    { type: 'pull', queue: '..' },
    { type: 'stream', name: '.' },
    { type: 'stream', name: '..' },
  ])('%j, which no path could name, is refused everywhere', async (destination) => {
    const path = destination.type === 'pull' ? '/destination/queue' : '/destination/name'
    const message = expect.stringMatching(/^must be a name of 1 to 128 .*\(but not \. or \.\.\)$/)
    const refused = { status: 400, body: { errors: [{ path, message }] } }
    expect(await send('POST', '/v1/messages', { payload: 1, destination })).toMatchObject(refused)
    expect(await send('PATCH', '/v1/messages/a', { destination })).toMatchObject(refused)
    const batch = await send('POST', '/v1/messages/batch', { messages: [{ payload: 1, destination }] })
    expect(batch.body.results).toMatchObject([{ status: 400 }])
    expect([scheduled.length, patches.length]).toEqual([0, 0])
  })

  it('is refused everywhere, with the wrong field, when the deliverer refuses it', async () => {
    const errors = [{ path: '/destination/url', message: 'must not be a private address' }]
    wrong = errors
    const detail = 'destination.url: must not be a private address'
    const message = { payload: 1, destination: WEBHOOK }
    for (const answer of [
      await send('POST', '/v1/messages', message),
      await send('PATCH', '/v1/messages/a', { destination: WEBHOOK }),
    ])
      expect(answer).toMatchObject({ status: 400, body: { errors, detail } })
    const batch = await send('POST', '/v1/messages/batch', { messages: [message, { payload: 1 }] })
    expect(batch.body.results).toEqual([
      { status: 400, code: 'invalid', detail },
      { id: 'a', status: 201 },
    ])
    expect([scheduled.length, patches.length]).toEqual([1, 0])
  })

  it('is refused together with what else is wrong, 20 fields at most', async () => {
    wrong = Array.from({ length: 30 }, (_, i) => ({
      path: `/destination/headers/x-${i}`,
      message: 'must not be sent',
    }))
    const { body } = await send('POST', '/v1/messages', { payload: 1, at: 5, destination: WEBHOOK })
    expect(body.errors).toHaveLength(20)
    expect(body.errors[0].path).toBe('/at')
    expect(body.errors[19].path).toBe('/destination/headers/x-18')
  })
})

describe('a message that failed', () => {
  it('is answered with the reason and the last attempts, each field of them if it is there', async () => {
    const full = { claim: 2, status: 503, durationMs: 7, error: 'answered 503', body: 'busy' }
    found = {
      ...STORED,
      status: 'dead',
      reason: 'timeout',
      lastAttempts: [
        { at: AT + 1, ...full },
        { at: AT + 2, claim: 3, durationMs: 15_000 },
      ],
    }
    const { body } = await send('GET', '/v1/messages/a')
    expect(body).toMatchObject({ status: 'dead', reason: 'timeout' })
    expect(body.lastAttempts).toEqual([
      { at: '2030-01-01T09:00:00.001Z', ...full },
      { at: '2030-01-01T09:00:00.002Z', claim: 3, durationMs: 15_000 },
    ])
  })

  it('shows attempts, and another shows none', async () => {
    const { body } = await send('GET', '/v1/messages/a')
    expect(body).not.toHaveProperty('reason')
    expect(body).not.toHaveProperty('lastAttempts')
  })
})
