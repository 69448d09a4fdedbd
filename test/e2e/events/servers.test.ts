import { describe, expect, it } from 'vitest'
import { type Listener, listen } from '../../support/event-stream.ts'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** For each message the types of its events, in order. */
function byMessage({ events }: Listener): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { event, data } of events) found.set(data.id, [...(found.get(data.id) ?? []), event])
  return found
}

describe('events of several servers', () => {
  it('reach every client of every server: none is missing, and those of a message are in order', async () => {
    const receiver = await openReceiver(answerWith(200))
    const env = { WEBHOOK_ALLOW: '127.0.0.1', EVENTS_MAX: '100000' }
    const fleet = await startFleet({ size: 2, env })
    const query = '?detail=all&types=scheduled,claimed,delivered,failed,recovered,dead'
    const clients = await Promise.all(
      Array.from({ length: 10 }, (_, i) => listen(fleet.servers[i % 2]?.url ?? '', { query })),
    )
    const messages = Array.from({ length: 1_000 }, (_, i) => ({
      ...{ id: `m${i}`, delay: i % 500, payload: i },
      ...(i % 2 === 0 ? { destination: { type: 'webhook', url: `${receiver.url}/` } } : {}),
    }))
    for (const [i, server] of fleet.servers.entries()) {
      const half = messages.slice(500 * i, 500 * (i + 1))
      await server.call('POST', '/v1/messages/batch', { messages: half })
    }
    await Promise.all(clients.map(({ came }) => came(1_000, 'delivered')))
    for (const client of clients) {
      await client.came(3_000)
      expect(client.of('gap', 'failed', 'dead')).toEqual([])
      const all = byMessage(client)
      expect(all.size).toBe(1_000)
      for (const [id, types] of all) {
        // Between servers Redis decides, so that a claim may be told before the message is.
        expect(types.toSorted(), id).toEqual(['claimed', 'delivered', 'scheduled'])
        expect(types.indexOf('claimed'), id).toBeLessThan(types.indexOf('delivered'))
      }
    }
  })
})

describe('a server with 50 open streams', () => {
  it('ends soon after SIGTERM, also if clients do not read, and says goodbye to those that do', async () => {
    const fleet = await startFleet({ size: 1, env: { SHUTDOWN_GRACE_MS: '2000' } })
    const [server] = fleet.servers
    if (server === undefined) throw new Error('one server')
    const streams = await Promise.all(
      Array.from({ length: 50 }, () => listen(server.url, { query: '?detail=all&payload=true' })),
    )
    const [slow, ...others] = streams
    slow?.stopReading()
    const payload = 'x'.repeat(3_000)
    for (let i = 0; i < 5; i += 1) {
      const messages = Array.from({ length: 500 }, () => ({ delay: '1h', payload }))
      await server.call('POST', '/v1/messages/batch', { messages })
    }
    // Those that read, too, may be too slow for some of it.
    await until('they were told of all', () => others.every((each) => toldOf(each) >= 2_500))
    const from = performance.now()
    expect(await server.end('SIGTERM')).toBe(0)
    expect(machineMs(from)).toBeLessThan(3_000)
    await until('all have ended', () => others.every(({ hasEnded }) => hasEnded()))
    expect(others.map((stream) => stream.of('bye').length)).toEqual(others.map(() => 1))
  })
})

describe('a client that does not read', () => {
  it('costs its server a bounded part of memory, and others nothing; what it missed is told once', async () => {
    const fleet = await startFleet({ size: 1, env: { EVENTS_MAX: '100' } })
    const [server] = fleet.servers
    if (server === undefined) throw new Error('one server')
    const query = '?detail=all&payload=true'
    const [slow, other] = [await listen(server.url, { query }), await listen(server.url, { query })]
    slow.stopReading()
    const payload = 'x'.repeat(4_000)
    // Far more than sockets and 1 MiB hold.
    const [batches, size] = [20, 250]
    for (let i = 0; i < batches; i += 1) {
      const messages = Array.from({ length: size }, () => ({ delay: '1h', payload }))
      await server.call('POST', '/v1/messages/batch', { messages })
      await other.came((i + 1) * size)
    }
    expect(other.of('gap')).toEqual([])
    const { dropped } = await droppedBy(server)
    expect(dropped).toBeGreaterThan(0)
    slow.readOn()
    await until('it has the rest', () => toldOf(slow) === batches * size)
    expect(slow.of('gap').map(({ data }) => data)).toEqual([{ count: dropped }])
  })
})

/** How many events a client was told of, or was told that it missed. */
const toldOf = (client: Listener): number =>
  client.of('gap').reduce((sum, { data }) => sum + data.count, client.of('scheduled').length)

async function droppedBy({ metrics }: { metrics(): Promise<Map<string, number>> }) {
  return { dropped: (await metrics()).get('carillon_events_dropped_total') ?? 0 }
}
