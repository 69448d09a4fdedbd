import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { describe, expect, inject, it } from 'vitest'
import type { Leases } from '../../../../src/leases/leases.ts'
import { laneOfQueue } from '../../../../src/store/keys.ts'
import type { Scripts } from '../../../../src/store/scripts/scripts.ts'
import { queuesOn } from '../../../support/queues-api.ts'
import { connectRaw, rawPost } from '../../../support/raw-http.ts'
import { claimedCount, useScripts } from '../../../support/script-world.ts'
import { machineMs } from '../../../support/speed.ts'
import { until } from '../../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

const WAIT_MS = 30_000
const claim = (waitMs: number) => rawPost('/v1/queues/jobs/claim', JSON.stringify({ waitMs }))
const listen = (app: FastifyInstance) => app.listen({ port: 0, host: '127.0.0.1' })
const messagesIn = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).messages

/** A poll over a connection of its own. */
function poll(url: string) {
  const sent = httpRequest(`${url}/v1/queues/jobs/claim`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    agent: false,
  })
  sent.on('error', () => undefined)
  sent.end(JSON.stringify({ waitMs: WAIT_MS }))
  return sent
}

describe('a long poll', () => {
  it('is answered with a message that becomes due while its client waits', async () => {
    const { app, leases, claims, scheduleDue } = await queuesOn(world())
    const worker = await connectRaw(await listen(app))
    worker.socket.write(claim(WAIT_MS))
    await until('it waits', () => claims.length === 1)
    await scheduleDue('a')
    leases.wake(0, 0, laneOfQueue('jobs'))
    await until('it is answered', () => worker.received().includes('"id":"a"'))
    expect(worker.received()).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })

  it('claims nothing after its client has gone', async () => {
    const { app, leases, claims, post, scheduleDue } = await queuesOn(world())
    let closed = 0
    app.addHook('onRequest', async (_request, reply) => {
      reply.raw.once('close', () => {
        closed += 1
      })
    })
    const sent = poll(await listen(app))
    await until('it waits', () => claims.length === 1)
    sent.destroy()
    await until('the server has noticed', () => closed === 1)
    await scheduleDue('a')
    leases.wake(0, 0, laneOfQueue('jobs'))
    // The first claim that took it.
    const { body } = await post('jobs/claim', { waitMs: 5_000 })
    expect(body.messages).toMatchObject([{ id: 'a', attempt: 1, claim: 1 }])
  })

  it('claims nothing for a client that has gone before the handler ran', async () => {
    const { app, claims, scheduleDue } = await queuesOn(world())
    await scheduleDue('a')
    const gone = new Promise<void>((resolve) => {
      app.addHook('preHandler', async (request, reply) => {
        if (!request.url.endsWith('/claim')) return
        request.raw.socket.destroy()
        await once(reply.raw, 'close')
        setImmediate(resolve)
      })
    })
    poll(await listen(app))
    await gone
    await until('the handler is done', async () => (await app.inject('/live')).statusCode === 200)
    expect(claims).toEqual([])
  })

  it('is answered with no messages when its server closes, which then accepts no other', async () => {
    let answer = () => {}
    const mayAnswer = new Promise<void>((resolve) => {
      answer = resolve
    })
    let ended = 0
    const { app, claims } = await queuesOn(world(), {
      around: (leases) =>
        ({
          async claim(...args) {
            const claimed = await leases.claim(...args)
            ended += 1
            await mayAnswer
            return claimed
          },
        }) satisfies Pick<Leases, 'claim'> as unknown as Leases,
    })
    const arrived: string[] = []
    app.addHook('onRequest', async ({ url }) => void arrived.push(url))
    const worker = await connectRaw(await listen(app))
    worker.socket.write(claim(WAIT_MS))
    await until('it waits', () => claims.length === 1)

    const closed = app.close()
    await until('it waits no longer', () => ended === 1)
    // On a connection that is still in use: this one comes too late.
    worker.socket.write(claim(WAIT_MS))
    await until('the other one has come', () => arrived.length === 2)
    const began = performance.now()
    answer()
    await closed
    // A connection that is kept alive would last for 72 seconds.
    expect(machineMs(began)).toBeLessThan(30_000)
    expect(await worker.closed()).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\n\{"messages":\[\]\}$/s)
    expect(claims).toHaveLength(1)
  })
})

describe('a worker that closes its side of the connection', () => {
  it('gets what is due when it closes with its request', async () => {
    const w = world()
    const { app, scheduleDue } = await queuesOn(w)
    await scheduleDue('a')
    const worker = await connectRaw(await listen(app))
    worker.socket.end(claim(0))
    const answer = await worker.closed()
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(messagesIn(answer)).toMatchObject([{ id: 'a', attempt: 1 }])
    expect(await claimedCount(w)).toBe(1)
  })

  it('gets what is due at once when it closes with a request that waits', async () => {
    const w = world()
    const { app, scheduleDue } = await queuesOn(w)
    await scheduleDue('a')
    const worker = await connectRaw(await listen(app))
    const from = performance.now()
    worker.socket.end(claim(20_000))
    expect(messagesIn(await worker.closed())).toMatchObject([{ id: 'a', attempt: 1 }])
    expect(machineMs(from)).toBeLessThan(10_000)
    expect(await claimedCount(w)).toBe(1)
  })

  it('gets what has become due when it closes while it waits', async () => {
    const w = world()
    const { app, claims, scheduleDue } = await queuesOn(w)
    const worker = await connectRaw(await listen(app))
    worker.socket.write(claim(20_000))
    await until('it waits', () => claims.length === 1)
    await scheduleDue('a')
    worker.socket.end()
    expect(messagesIn(await worker.closed())).toMatchObject([{ id: 'a' }])
    expect(await claimedCount(w)).toBe(1)
  })

  it('is answered at once when it closes while it waits', async () => {
    const { app, claims } = await queuesOn(world())
    const worker = await connectRaw(await listen(app))
    worker.socket.write(claim(20_000))
    await until('it waits', () => claims.length === 1)
    const from = performance.now()
    worker.socket.end()
    expect(await worker.closed()).toMatch(/^HTTP\/1\.1 200 .*{"messages":\[\]}$/s)
    expect(machineMs(from)).toBeLessThan(10_000)
  })

  it('keeps no lease once it is gone', async () => {
    const w = world()
    let closedItsSide: Promise<unknown> = Promise.resolve()
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        await closedItsSide
        return w.scripts.lease(...args)
      },
    }
    const { app, claims, scheduleDue } = await queuesOn(w, { scripts })
    await scheduleDue('a', 'b')
    const before = await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')
    const url = await listen(app)
    const accepted = once(app.server, 'connection') as Promise<[Socket]>
    const worker = await connectRaw(url)
    const [accept] = await accepted
    closedItsSide = once(accept, 'end')
    // Not once() of node:events, which rejects if an error comes first.
    const closed = new Promise((resolve) => accept.once('close', resolve))
    worker.socket.end(claim(0), () => worker.socket.destroy())
    // The server closes its side after it has leased both, and could not tell the worker.
    await closed
    expect(claims.length).toBeGreaterThan(0)
    await until('they are put back', async () => (await claimedCount(w)) === 0)
    expect(await w.client.zrange(w.keys.laned, '0', '-1', 'WITHSCORES')).toEqual(before)
    expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
  })
})
