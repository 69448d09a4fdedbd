import { describe, expect, inject, it } from 'vitest'
import { encodeRecordBody } from '../../../../src/records/record.ts'
import { laneOfQueue } from '../../../../src/store/keys.ts'
import { pullEntry } from '../../../support/pulling.ts'
import { DEFAULT_LOCK_MS, queuesOn, refusal } from '../../../support/queues-api.ts'
import { useScripts } from '../../../support/script-world.ts'
import { machineMs } from '../../../support/speed.ts'

const world = useScripts(() => inject('redisUrl'))

describe('POST /v1/queues/:queue/claim', () => {
  it('answers what was claimed, its payload as JSON and its time as ISO 8601', async () => {
    const w = world()
    const { post, claims } = await queuesOn(w)
    const due = (await w.now()) - 5_000
    const destination = { type: 'pull', queue: 'mails' }
    await w.scripts.schedule(0, [
      { ...pullEntry('a', due), body: encodeRecordBody('{"a":1}', { destination }) },
      { ...pullEntry('b', due + 1), body: encodeRecordBody('null', { destination }) },
    ])
    const { status, body } = await post('mails/claim', { limit: 2, lockMs: 60_000, waitMs: 30_000 })
    expect(status).toBe(200)
    expect(body).toEqual({
      messages: [
        {
          id: 'a',
          token: expect.any(String),
          payload: { a: 1 },
          at: new Date(due).toISOString(),
          attempt: 1,
          claim: 1,
          lateMs: expect.any(Number),
        },
        expect.objectContaining({ id: 'b', payload: null, claim: 2 }),
      ],
    })
    expect(body.messages[0].lateMs).toBeGreaterThanOrEqual(5_000)
    expect(claims).toEqual([{ shard: 0, lane: laneOfQueue('mails'), limit: 2, lockMs: 60_000 }])
  })

  it('tells a retry its attempt and a claim number of its own', async () => {
    const { post, scheduleDue } = await queuesOn(world())
    await scheduleDue('a')
    const first = await post('jobs/claim')
    const [{ id, token }] = first.body.messages
    await post('jobs/release', { messages: [{ id, token }], delay: 0 })
    const { body } = await post('jobs/claim')
    expect(body.messages).toMatchObject([{ id: 'a', attempt: 2, claim: 2 }])
    expect(body.messages[0].token).not.toBe(token)
  })

  it.each([
    ['{}', {}, {}],
    ['no body', undefined, {}],
    ['no body, said to be JSON', '', {}],
    ['no body, said to be text, as fetch does', '', { 'content-type': 'text/plain;charset=UTF-8' }],
  ])(
    'takes %s for the defaults: one message, at once, for the lock time of the server',
    async (_, payload, headers) => {
      const { post, scheduleDue, claims } = await queuesOn(world())
      await scheduleDue('a', 'b')
      const claim = () => post('jobs/claim', payload, headers)
      expect(await claim()).toMatchObject({ status: 200, body: { messages: [{ id: 'a' }] } })
      expect(await claim()).toMatchObject({ status: 200, body: { messages: [{ id: 'b' }] } })
      const from = performance.now()
      expect(await claim()).toMatchObject({ status: 200, body: { messages: [] } })
      expect(machineMs(from)).toBeLessThan(10_000)
      const order = { shard: 0, lane: laneOfQueue('jobs'), limit: 1, lockMs: DEFAULT_LOCK_MS }
      expect(claims).toEqual([order, order, order])
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
    const { post, scheduleDue, claims } = await queuesOn(world())
    await scheduleDue('a')
    expect(await post('jobs/claim', body)).toMatchObject(refusal(path, message))
    expect(claims).toEqual([])
  })

  it('accepts every name of a queue, and no other', async () => {
    const { post } = await queuesOn(world())
    for (const name of ['a', 'A.b_c:d-9', 'q'.repeat(128)])
      expect((await post(`${name}/claim`)).status, name).toBe(200)
    for (const name of ['q'.repeat(129), 'a%20b', '%C3%BC', 'a%2Fb', '.%2F'])
      expect(await post(`${name}/claim`), name).toMatchObject(refusal('/queue', /1 to 128/))
  })

  it('refuses a body of another type', async () => {
    const { post, claims } = await queuesOn(world())
    expect(await post('jobs/claim', 'limit=1', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
    })
    expect(claims).toEqual([])
  })
})
