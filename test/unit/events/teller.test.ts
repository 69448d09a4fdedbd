import { describe, expect, it } from 'vitest'
import type { Counts, Entry } from '../../../src/events/entry.ts'
import { decodePosition, endOf } from '../../../src/events/position.ts'
import { createFilter, type EventQuery } from '../../../src/events/query.ts'
import type { EventType } from '../../../src/events/sink.ts'
import { type Beginning, Teller } from '../../../src/events/teller.ts'

const ALL: EventQuery = { payload: false, detail: 'all' }

/** Entries one after the other, each of so many events of these types. */
function ring(...entries: Partial<Record<EventType, number>>[]): Entry[] {
  const before: Record<string, number> = {}
  return entries.map((counts, i) => {
    const events = Object.entries(counts).flatMap(([type, count]) =>
      Array.from({ length: count }, (_, n) => ({
        ...{ type: type as EventType, payload: '{"n":1.00}' },
        data: JSON.stringify({ id: `${i}.${n}`, destination: 'pull:a', tags: [`t${n}`] }),
      })),
    )
    const entry = {
      ...{ id: `${1_000 + i}-0`, previous: i === 0 ? '' : `${999 + i}-0`, events, lost: {} as Counts },
      before: { ...before },
    }
    for (const [type, count] of Object.entries(counts)) before[type] = (before[type] ?? 0) + count
    return entry
  })
}

function told(query: EventQuery, from: Beginning, entries: readonly Entry[]) {
  const teller = new Teller(query, from)
  const text = entries
    .flatMap((entry) => teller.take(entry))
    .map(({ bytes }) => bytes.toString())
    .join('')
  return text
    .split('\n\n')
    .filter((block) => block !== '')
    .map((block) => {
      const [, id = ''] = /^id: (.*)$/m.exec(block) ?? []
      const [, event = ''] = /^event: (.*)$/m.exec(block) ?? []
      const [, data = ''] = /^data: (.*)$/m.exec(block) ?? []
      return { id, event, data }
    })
}
const start = endOf(undefined, createFilter(ALL))
const names = (all: ReturnType<typeof told>) =>
  all.map(({ event, data }) => `${event} ${JSON.parse(data).id}`)
const gaps = (all: ReturnType<typeof told>) =>
  all.filter(({ event }) => event === 'gap').map(({ data }) => data)

describe('a stream of events', () => {
  it('continues behind every event by its id, and tells each once', () => {
    const entries = ring({ scheduled: 2 }, { delivered: 3 }, { dead: 1 })
    const all = told(ALL, start, entries)
    expect(names(all)).toEqual([
      'scheduled 0.0',
      'scheduled 0.1',
      'delivered 1.0',
      'delivered 1.1',
      'delivered 1.2',
      'dead 2.0',
    ])
    for (const [i, { id }] of all.entries()) {
      const position = decodePosition(id)
      if (position === undefined) throw new Error(`${id} is no position`)
      const from = entries.filter((entry) => entry.id >= position.entry)
      expect(told(ALL, position, from), id).toEqual(all.slice(i + 1))
    }
  })

  it('has only the types, the tag and the destination that were asked for', () => {
    const entries = ring({ scheduled: 2, delivered: 2 })
    const types: EventQuery = { ...ALL, types: ['delivered'] }
    expect(names(told(types, start, entries))).toEqual(['delivered 0.0', 'delivered 0.1'])
    expect(names(told({ ...types, tag: 't1' }, start, entries))).toEqual(['delivered 0.1'])
    expect(names(told({ ...ALL, destination: 'pull:a' }, start, entries))).toHaveLength(4)
    expect(told({ ...ALL, destination: 'pull:b' }, start, entries)).toEqual([])
  })

  it('has payloads, as they were written, only where they were asked for', () => {
    const [plain] = told(ALL, start, ring({ delivered: 1 }))
    expect(plain?.data).not.toContain('payload')
    const [full] = told({ ...ALL, payload: true }, start, ring({ delivered: 1 }))
    expect(full?.data).toBe('{"id":"0.0","destination":"pull:a","tags":["t0"],"payload":{"n":1.00}}')
  })

  it('tells how many events were trimmed behind its place', () => {
    const entries = ring({ scheduled: 5 }, { delivered: 7, dead: 1 }, { scheduled: 2 })
    const from = decodePosition(told(ALL, start, entries)[1]?.id ?? '') as Beginning
    expect(gaps(told(ALL, from, entries.slice(2)))).toEqual(['{"count":11}'])
    expect(gaps(told(ALL, from, entries))).toEqual([])
  })

  it('counts of what it missed only what is of its types', () => {
    const query: EventQuery = { ...ALL, types: ['delivered'] }
    const entries = ring(
      { delivered: 1 },
      { delivered: 7, dead: 90 },
      { delivered: 2 },
      { dead: 3 },
      { delivered: 1 },
    )
    const from = decodePosition(told(query, start, entries)[0]?.id ?? '') as Beginning
    expect(gaps(told(query, from, entries.slice(2)))).toEqual(['{"count":7}'])
    const later = decodePosition(told(query, start, entries)[9]?.id ?? '') as Beginning
    // All that is gone is of other types.
    expect(gaps(told(query, later, entries.slice(4)))).toEqual([])
  })

  it('tells a gap of at least none where it cannot know what matched', () => {
    const entries = ring({ delivered: 1 }, { delivered: 7 }, { delivered: 2 })
    const from = decodePosition(told(ALL, start, entries)[0]?.id ?? '') as Beginning
    expect(gaps(told({ ...ALL, tag: 't1' }, from, entries.slice(2)))).toEqual(['{"count":0}'])
    expect(gaps(told({ ...ALL, types: ['delivered'] }, from, entries.slice(2)))).toEqual(['{"count":0}'])
  })

  it('begins at a time without a gap unless something at or after it is gone', () => {
    const entries = ring({ delivered: 1 }, { delivered: 7 }, { delivered: 2 })
    expect(gaps(told(ALL, { since: 500 }, entries))).toEqual([])
    expect(gaps(told(ALL, { since: 1_002 }, entries.slice(2)))).toEqual([])
    expect(gaps(told(ALL, { since: 1_001 }, entries.slice(2)))).toEqual(['{"count":1}'])
  })

  it('tells what a server could not write, and that the ring is another one', () => {
    const [first, second] = ring({ delivered: 1 }, { delivered: 2 })
    if (first === undefined || second === undefined) throw new Error('two entries')
    expect(gaps(told(ALL, start, [first, { ...second, lost: { delivered: 4, dead: 1 } }]))).toEqual([
      '{"count":5}',
    ])
    const another = { ...first, id: '2000-0' }
    expect(gaps(told(ALL, start, [first, second, another]))).toEqual(['{"count":0}'])
  })
})
