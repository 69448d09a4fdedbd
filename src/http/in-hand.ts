import type { Socket } from 'node:net'

/** The requests of this process that are being worked on: begun, and neither answered nor left by their client. */
export interface InHand {
  /** how many there are now */
  readonly count: number
  /** Counts one request more, which came over this socket. @returns to be called when it is done; idempotent */
  take(socket: Socket): () => void
}

/** What one connection has in hand, as pipelined requests may be several. */
interface Tally {
  count: number
}

/**
 * Counts by connection: Node tells only the request whose turn it is to answer that its client is gone, and those that
 * are pipelined behind it would never be counted out.
 */
export function createInHand(): InHand {
  const tallies = new WeakMap<Socket, Tally>()
  let count = 0

  function tallyOf(socket: Socket): Tally {
    const known = tallies.get(socket)
    if (known !== undefined) return known
    const tally: Tally = { count: 0 }
    tallies.set(socket, tally)
    socket.once('close', () => {
      count -= tally.count
      tally.count = 0
      tallies.delete(socket)
    })
    return tally
  }

  return {
    get count() {
      return count
    },
    take(socket) {
      const tally = tallyOf(socket)
      tally.count++
      count++
      let isDone = false
      return () => {
        if (isDone) return
        isDone = true
        if (tally.count === 0) return // counted out with its connection
        tally.count--
        count--
      }
    },
  }
}
