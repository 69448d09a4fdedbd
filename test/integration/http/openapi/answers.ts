import { describe, expect, it } from 'vitest'
import { DESTINATIONS } from '../../../../src/destinations/registry.ts'
import { MOST_PAUSES } from '../../../../src/store/scripts/pauses.ts'
import { useApp } from '../../../support/app.ts'
import { until } from '../../../support/until.ts'
import { expectAsDocumented, operations, type Schema, statusesOf, withStatus } from './documented.ts'
import { ENDS_LEASES, LATER, STREAM, send } from './requests.ts'

/** Answers to requests that are right, or too late: with a Redis behind them. */
export function describeAnswers(): void {
  describe('the answers of every route', () => {
    const world = useApp()
    const change = (headers: Record<string, string>) => ({ headers })
    const put = (id: string) =>
      send(world(), 'POST /v1/messages', { payload: { id, at: LATER, payload: { a: 1 }, tags: ['t'] } })
    /** As a worker does that pulls, from a queue of its own. */
    const lease = async (id: string) => {
      const payload = { id, payload: 1, destination: { type: 'pull', queue: id } }
      await send(world(), 'POST /v1/messages', { payload })
      const request = { url: `/v1/queues/${id}/claim`, payload: { waitMs: 5_000 } }
      const claimed = await send(world(), 'POST /v1/queues/{queue}/claim', request)
      expectAsDocumented('POST /v1/queues/{queue}/claim', 200, claimed)
      const [{ token }] = claimed.json<{ messages: [{ token: string }] }>().messages
      return { id, token }
    }
    /** As a server does that begins to deliver it. */
    const claim = async (id: string) => {
      const { client } = world()
      const keys = world().keysFor(id)
      await client.zrem(keys.scheduled, id)
      await client.zadd(keys.claimed, Date.now() + 60_000, id)
      await client.set(keys.lockPrefix + id, 'another server', 'PX', 60_000)
    }

    it('are as documented when all is well', async () => {
      for (const [name, operation] of operations) {
        if (name === STREAM) continue
        await put('it')
        if (name.startsWith('DELETE /v1/pauses')) await send(world(), 'POST /v1/pauses')
        const status =
          statusesOf(operation)
            .filter((each) => each < 300)
            .at(-1) ?? 0
        const request = ENDS_LEASES.test(name)
          ? { payload: { messages: [await lease(name.split('/').at(-1) ?? '')] } }
          : name.endsWith('/operations/{id}')
            ? {
                url: `/v1/operations/${(await send(world(), 'POST /v1/operations')).json<{ id: string }>().id}`,
              }
            : {}
        expectAsDocumented(name, status, await send(world(), name, request))
      }
    })

    it('are as documented for operations', async () => {
      for (let i = 0; i < 20; i += 1) await put(`m${i}`)
      const payload = { action: 'cancel', all: true, perSecond: 0.001 }
      const begin = (more: object) =>
        send(world(), 'POST /v1/operations', { payload: { ...payload, ...more } })
      expectAsDocumented('POST /v1/operations', 200, await begin({ dryRun: true }))
      for (let i = 0; i < 16; i += 1) expectAsDocumented('POST /v1/operations', 202, await begin({}))
      expectAsDocumented('POST /v1/operations', 409, await begin({}))
      expectAsDocumented('GET /v1/operations', 200, await send(world(), 'GET /v1/operations'))
      expectAsDocumented('GET /v1/audit', 200, await send(world(), 'GET /v1/audit'))
    })

    it('are as documented for a stream that ends with its server', async () => {
      const streaming = send(world(), STREAM)
      const isOpen = async () =>
        /^carillon_event_streams 1$/m.test((await send(world(), 'GET /metrics')).body)
      await until('it is open', isOpen)
      await world().app.close()
      expectAsDocumented(STREAM, 200, await streaming)
    })

    it('are as documented for leases that are all lost', async () => {
      for (const [name] of operations.filter(([each]) => ENDS_LEASES.test(each)))
        expectAsDocumented(name, 409, await send(world(), name))
    })

    it('are as documented for a target that is paused already, and for more pauses than there may be', async () => {
      const pause = (target: string) =>
        send(world(), 'POST /v1/pauses', { payload: { target, until: LATER } })
      for (let i = 0; i < MOST_PAUSES; i += 1) await pause(`tag:${i}`)
      expectAsDocumented('POST /v1/pauses', 200, await pause('tag:7'))
      expectAsDocumented('POST /v1/pauses', 409, await pause('tag:more'))
      expectAsDocumented('GET /v1/pauses', 200, await send(world(), 'GET /v1/pauses'))
    })

    it('are as documented with every destination that a message can have', async () => {
      for (const { schema } of DESTINATIONS) {
        const fields = Object.entries<Schema>(schema.properties)
        const destination = Object.fromEntries(fields.map(([name, { examples }]) => [name, examples?.[0]]))
        const payload = { id: 'it', at: LATER, payload: 1, destination }
        const created = await send(world(), 'POST /v1/messages', { payload })
        expectAsDocumented('POST /v1/messages', 201, created)
        expect(created.json()).toMatchObject({ destination })
        const patched = await send(world(), 'PATCH /v1/messages/{id}', { payload: { destination } })
        expectAsDocumented('PATCH /v1/messages/{id}', 200, patched)
        expectAsDocumented('GET /v1/messages', 200, await send(world(), 'GET /v1/messages'))
        expectAsDocumented('DELETE /v1/messages/{id}', 204, await send(world(), 'DELETE /v1/messages/{id}'))
      }
    })

    it('are as documented for a message that exists already', async () => {
      await send(world(), 'POST /v1/messages')
      expectAsDocumented('POST /v1/messages', 200, await send(world(), 'POST /v1/messages'))
      const other = { id: 'new', payload: 'other' }
      expectAsDocumented(
        'POST /v1/messages',
        409,
        await send(world(), 'POST /v1/messages', { payload: other }),
      )
    })

    it('are as documented with every field that a message can have', async () => {
      const retry = { attempts: 3, minMs: 1, maxMs: 2, factor: 2, jitter: 'none' }
      const whole = {
        id: 'it',
        at: LATER,
        payload: null,
        destination: { type: 'console' },
        tags: ['t'],
        retry,
        notAfter: LATER,
        onLate: 'drop',
      }
      expectAsDocumented(
        'POST /v1/messages',
        201,
        await send(world(), 'POST /v1/messages', { payload: whole }),
      )
      expectAsDocumented('GET /v1/messages/{id}', 200, await send(world(), 'GET /v1/messages/{id}'))
      expectAsDocumented('GET /v1/messages', 200, await send(world(), 'GET /v1/messages'))
      const undone = { notAfter: null, onLate: null, retry: null, delay: '90s' }
      expectAsDocumented(
        'PATCH /v1/messages/{id}',
        200,
        await send(world(), 'PATCH /v1/messages/{id}', { payload: undone }),
      )
    })

    it('are as documented with more than one page', async () => {
      await put('a')
      await put('b')
      const first = await send(world(), 'GET /v1/messages', { url: '/v1/messages?limit=1&tag=t' })
      expectAsDocumented('GET /v1/messages', 200, first)
      expect(first.json()).toMatchObject({ messages: [{ id: 'a' }], nextCursor: expect.any(String) })
    })

    it('are as documented for delivered messages', async () => {
      world().startClaiming()
      for (const [id, payload] of [
        ['it', 'x'.repeat(2_000)],
        ['new', 'x'],
      ]) {
        await send(world(), 'POST /v1/messages', { payload: { id, payload } })
      }
      await until('both are delivered', () => world().delivered.length === 2)
      await until('the history has them', async () => {
        const listed = await send(world(), 'GET /v1/messages', { url: '/v1/messages?status=delivered' })
        expectAsDocumented('GET /v1/messages', 200, listed)
        return listed.json<{ messages: unknown[] }>().messages.length === 2
      })
      const found = await send(world(), 'GET /v1/messages/{id}')
      expectAsDocumented('GET /v1/messages/{id}', 200, found)
      expect(found.json()).toMatchObject({ status: 'delivered', payloadOmitted: true })
      expectAsDocumented('DELETE /v1/messages/{id}', 409, await send(world(), 'DELETE /v1/messages/{id}'))
      const copied = await send(world(), 'POST /v1/messages/{id}/copy')
      expectAsDocumented('POST /v1/messages/{id}/copy', 409, copied)
      expectAsDocumented('GET /v1/stats', 200, await send(world(), 'GET /v1/stats'))
    })

    it('are as documented for a message that is being delivered', async () => {
      await put('it')
      await claim('it')
      const refused = [
        'PATCH /v1/messages/{id}',
        'DELETE /v1/messages/{id}',
        'POST /v1/messages/{id}/deliver',
      ]
      for (const name of refused) expectAsDocumented(name, 409, await send(world(), name))
      expectAsDocumented('GET /v1/messages/{id}', 200, await send(world(), 'GET /v1/messages/{id}'))
    })

    it('are as documented for a message at another version', async () => {
      await put('it')
      for (const [name] of withStatus(412)) {
        expectAsDocumented(name, 412, await send(world(), name, change({ 'if-match': '"7"' })))
      }
    })

    it('are as documented line by line, where there are lines', async () => {
      const streamed = operations.filter(
        ([, { requestBody }]) => requestBody?.content['application/x-ndjson'],
      )
      for (const [name, { requestBody }] of streamed) {
        const payload = requestBody?.content['application/x-ndjson']?.example
        const answer = await send(world(), name, {
          payload,
          headers: { 'content-type': 'application/x-ndjson' },
        })
        expectAsDocumented(name, 200, answer)
        expect(answer.headers['content-type']).toMatch(/^application\/x-ndjson/)
      }
    })
  })
}
