import { describe, expect, it } from 'vitest'
import { EventStream, type StreamConnection } from '../../../src/events/stream.ts'

/** A client that takes so many bytes until it reads on. */
function client(takes: number) {
  const written: string[] = []
  let waiting = 0
  let drained: () => void = () => undefined
  const connection: StreamConnection = {
    open: () => undefined,
    write(bytes) {
      written.push(bytes.toString())
      waiting += bytes.length
      return waiting < takes
    },
    get waitingBytes() {
      return waiting
    },
    onDrain(listener) {
      drained = listener
    },
    onClose: () => undefined,
    end: () => undefined,
  }
  const readAll = () => {
    waiting = 0
    drained()
  }
  return { connection, written, readAll, waiting: () => waiting }
}
const chunk = (name: string, bytes: number, count = 10) => ({
  bytes: Buffer.from(name.padEnd(bytes, '.')),
  count,
})

describe('a client that reads slowly', () => {
  it('loses the oldest beyond 1 MiB, is told once how many, and then gets what is left in order', () => {
    const slow = client(10)
    let dropped = 0
    const stream = new EventStream(slow.connection, (events) => {
      dropped += events
    })
    stream.goLive()
    for (let i = 0; i < 20; i += 1) stream.push(chunk(`chunk ${i} `, 131_072))
    expect(slow.written).toHaveLength(1)
    // One is with the connection, and seven more are 1 MiB.
    expect(dropped).toBe(120)
    for (let i = 0; i < 20; i += 1) slow.readAll()
    expect(slow.written.map((text) => text.slice(0, 8))).toEqual([
      ...[
        'chunk 0 ',
        'event: g',
        'chunk 13',
        'chunk 14',
        'chunk 15',
        'chunk 16',
        'chunk 17',
        'chunk 18',
        'chunk 19',
      ],
    ])
    expect(slow.written[1]).toBe('event: gap\ndata: {"count":120}\n\n')
  })

  it('is told what is live only behind what it was told before', async () => {
    const fast = client(Number.POSITIVE_INFINITY)
    const stream = new EventStream(fast.connection, () => undefined)
    stream.push(chunk('live', 4))
    await stream.writeNow('replayed')
    stream.goLive()
    expect(fast.written).toEqual(['replayed', 'live'])
  })

  it('is waited for before more of a replay is read', async () => {
    const slow = client(4)
    const stream = new EventStream(slow.connection, () => undefined)
    let isWritten = false
    const writing = stream.writeNow('replayed').then(() => {
      isWritten = true
    })
    await Promise.resolve()
    expect(isWritten).toBe(false)
    slow.readAll()
    await writing
  })
})
