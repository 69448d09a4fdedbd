import { describe, expect, it } from 'vitest'
import { eventsKeyOf } from '../../../src/store/keys.ts'
import { createEventScripts, type EventScripts } from '../../../src/store/scripts/events.ts'
import { listen } from '../../support/event-stream.ts'
import { type ServerHere, serveHere } from '../../support/serve-here.ts'

let tokens = 0
/** Writes one entry as a server does, of `delivered` events with these numbers. */
async function write({ append }: EventScripts, numbers: readonly number[]): Promise<void> {
  tokens += 1
  await append({
    ...{ token: `test:${tokens}`, repeated: false, lost: '', count: numbers.length },
    lines: numbers.map((n) => `delivered ${JSON.stringify({ id: String(n) })}`).join('\n'),
    types: [['delivered', numbers.length]],
  })
}
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
const scriptsOf = ({ client, namespace }: ServerHere, most: number) =>
  createEventScripts(client, { namespace }, most)
const ids = (events: readonly { data: { id: string } }[]) => events.map(({ data }) => Number(data.id))

describe('a client that reconnects', () => {
  it('gets each event once, wherever it was cut off', async () => {
    const server = await serveHere({ EVENTS_MAX: '100000' })
    const scripts = scriptsOf(server, 100_000)
    const query = '?detail=all&types=delivered'
    const got: number[] = []
    let lastId = ''
    let written = 0
    for (let i = 0; i < 200; i += 1) {
      const headers = lastId === '' ? {} : { 'last-event-id': lastId }
      const stream = await listen(server.url, { query, headers })
      const seen = Math.floor(Math.random() * 12)
      const writing = (async () => {
        for (const size of [3, 1, 5]) {
          const batch = numbers(size, written)
          written += size
          await write(scripts, batch)
        }
      })()
      // It goes in the middle of what is told, or behind it.
      await stream.came(Math.min(seen, written - got.length))
      stream.close()
      got.push(...ids(stream.of('delivered')))
      expect(stream.of('gap')).toEqual([])
      lastId = stream.lastId()
      await writing
    }
    const last = await listen(server.url, { query, headers: { 'last-event-id': lastId } })
    await last.came(written - got.length)
    expect([...got, ...ids(last.of())]).toEqual(numbers(written))
  })

  it('is told once how many events it has missed, if they are no longer kept', async () => {
    const server = await serveHere({ EVENTS_MAX: '100' })
    const scripts = scriptsOf(server, 100)
    const first = await listen(server.url, { query: '?detail=all' })
    await write(scripts, numbers(10))
    await first.came(10)
    first.close()
    for (let i = 1; i < 40; i += 1) await write(scripts, numbers(10, 10 * i))
    const again = await listen(server.url, {
      query: '?detail=all',
      headers: { 'last-event-id': first.of()[4]?.id ?? '' },
    })
    await again.came(101)
    expect(again.of('gap').map(({ data }) => data)).toEqual([
      { count: 400 - 5 - again.of('delivered').length },
    ])
    expect(again.events[0]?.event).toBe('gap')
    const kept = ids(again.of('delivered'))
    expect(kept).toEqual(numbers(kept.length, 400 - kept.length))
    expect(kept.length).toBeLessThan(110)
  })

  it('may begin at a time or at an id in its URL', async () => {
    const server = await serveHere({ EVENTS: 'always' })
    const scripts = scriptsOf(server, 10_000)
    await write(scripts, [1, 2])
    const first = await listen(server.url, { query: '?since=2020-01-01T00:00:00Z' })
    await first.came(2)
    expect(ids(first.of())).toEqual([1, 2])
    const second = await listen(server.url, { query: `?since=${first.of()[0]?.id}` })
    await second.came(1)
    expect(ids(second.of())).toEqual([2])
    const future = await listen(server.url, { query: '?since=2999-01-01T00:00:00Z' })
    await write(scripts, [3])
    await future.came(1)
    expect(ids(future.of())).toEqual([3])
  })

  it('is told that nothing was collected while nobody listened', async () => {
    const server = await serveHere()
    await write(scriptsOf(server, 10_000), [1])
    const stream = await listen(server.url, { query: '?since=2020-01-01T00:00:00Z' })
    await stream.came(2)
    expect(stream.of().map(({ event, data }) => [event, data])).toEqual([
      ['gap', { count: 0 }],
      ['delivered', { id: '1' }],
    ])
  })

  it('is told of a gap when the ring that its id is from has gone', async () => {
    const server = await serveHere({ EVENTS: 'always' })
    const scripts = scriptsOf(server, 10_000)
    await write(scripts, [1, 2])
    const first = await listen(server.url, { query: '?since=2020-01-01T00:00:00Z' })
    await first.came(2)
    first.close()
    await server.client.del(eventsKeyOf(server.namespace))
    const headers = { 'last-event-id': first.lastId() }
    const again = await listen(server.url, { headers })
    await again.came(1, 'gap')
    await write(scripts, [3])
    await again.came(1, 'delivered')
    expect(again.of().map(({ event }) => event)).toEqual(['gap', 'delivered'])
  })

  it('gets a long replay in pages, and behind it what has come meanwhile', async () => {
    const server = await serveHere({ EVENTS: 'always' })
    const scripts = scriptsOf(server, 10_000)
    for (let i = 0; i < 8; i += 1) await write(scripts, numbers(500, 500 * i))
    const stream = await listen(server.url, { query: '?since=2020-01-01T00:00:00Z&detail=all' })
    await write(scripts, numbers(500, 4_000))
    await stream.came(4_500)
    expect(ids(stream.of())).toEqual(numbers(4_500))
  })
})
