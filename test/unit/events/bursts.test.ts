import { describe, expect, it } from 'vitest'
import { Bursts, type Frame, type Item } from '../../../src/events/bursts.ts'
import type { EventType } from '../../../src/events/sink.ts'

const items = (count: number, at: number, type: EventType = 'delivered', destination = 'console'): Item[] =>
  Array.from({ length: count }, (_, i) => ({
    told: { type, data: JSON.stringify({ id: `m${i}`, destination }), payload: '' },
    id: `${at}-0-${i + 1}-${i + 1}`,
    at,
  }))
const kinds = (frames: readonly Frame[]) => frames.map(({ event, count }) => `${event} ${count}`)

describe('bursts', () => {
  it('are not seen where events are few: each is told at once', () => {
    const bursts = new Bursts()
    expect(kinds(bursts.add(items(3, 1_000)))).toEqual(['delivered 1', 'delivered 1', 'delivered 1'])
    expect(bursts.isHolding).toBe(false)
  })

  it('become one summary from 201 of a type in 100 ms on', () => {
    const bursts = new Bursts()
    expect(bursts.add(items(150, 1_000, 'delivered', 'pull:a'))).toEqual([])
    expect(bursts.add(items(51, 1_099))).toEqual([])
    const [summary, ...more] = bursts.flush()
    expect(more).toEqual([])
    expect(summary).toMatchObject({ id: '1099-0-51-51', event: 'many', count: 201 })
    expect(JSON.parse(summary?.data ?? '')).toEqual({
      ...{ type: 'delivered', count: 201 },
      ...{ first: '1970-01-01T00:00:01.000Z', last: '1970-01-01T00:00:01.099Z' },
      byDestination: { 'pull:a': 150, console: 51 },
    })
  })

  it('are none at 200: these are told one by one, once the 100 ms are over', () => {
    const bursts = new Bursts()
    expect(bursts.add(items(200, 1_000))).toEqual([])
    const frames = bursts.add(items(1, 1_100, 'dead'))
    expect(kinds(frames)).toEqual([...Array.from({ length: 200 }, () => 'delivered 1'), 'dead 1'])
    expect(new Set(frames.map(({ id }) => id)).size).toBe(201)
  })

  it('leave single events of other types between them, and only the last frame has an id', () => {
    const bursts = new Bursts()
    bursts.add([...items(201, 1_000), ...items(1, 1_000, 'dead')])
    const frames = bursts.flush()
    expect(kinds(frames)).toEqual(['dead 1', 'many 201'])
    // Whoever is cut off between the two begins with the first again.
    expect(frames.map(({ id }) => id)).toEqual([undefined, '1000-0-1-1'])
  })

  it('are told as summaries alone while they go on', () => {
    const bursts = new Bursts()
    bursts.add(items(300, 1_000))
    const frames = [...bursts.add(items(5, 1_100)), ...bursts.add(items(300, 1_150)), ...bursts.flush()]
    expect(kinds(frames)).toEqual(['many 300', 'many 305'])
  })
})
