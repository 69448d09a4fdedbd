import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AskedQueues } from '../../../src/leases/asked-queues.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

function noting() {
  const written: (readonly string[])[] = []
  const asked = new AskedQueues(async (queues) => void written.push([...queues].sort()))
  return { asked, written }
}

describe('asked queues', () => {
  it('are written at once, and then every 10 s at most', async () => {
    const { asked, written } = noting()
    asked.ask('a')()
    await vi.advanceTimersByTimeAsync(0)
    expect(written).toEqual([['a']])
    for (const queue of ['b', 'a', 'b']) asked.ask(queue)()
    await vi.advanceTimersByTimeAsync(9_999)
    expect(written).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(written.slice(1)).toEqual([['a', 'b']])
  })

  it('are written again and again while somebody waits, and once more after that', async () => {
    const { asked, written } = noting()
    const ended = asked.ask('a')
    await vi.advanceTimersByTimeAsync(25_000)
    expect(written).toEqual([['a'], ['a'], ['a']])
    ended()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(written).toHaveLength(4)
  })

  it('cost nothing when nobody asks', async () => {
    const { written } = noting()
    await vi.advanceTimersByTimeAsync(60_000)
    expect([written, vi.getTimerCount()]).toEqual([[], 0])
  })

  it('are written by the next call when one fails', async () => {
    let calls = 0
    const asked = new AskedQueues(async () => {
      calls += 1
      throw new Error('away')
    })
    asked.ask('a')()
    await vi.advanceTimersByTimeAsync(0)
    asked.ask('a')()
    await vi.advanceTimersByTimeAsync(10_000)
    expect(calls).toBe(2)
  })
})
