import type { Socket } from 'node:net'

/** The requests of this process that are being worked on: begun, and neither answered nor left by their client. */
export interface RequestsInFlight {
  /** how many there are now */
  readonly count: number
  /** Counts one request more, which came over this socket. */
  add(socket: Socket): RequestInFlight
}

/** One request in flight. */
export interface RequestInFlight {
  /** Whether a body of so many bytes may come. One that comes while no other is held may always. */
  hasRoomFor(bytes: number): boolean
  /** Counts bytes of its body that have come. @returns false, and counts none, where there is no room for them */
  holdBytes(bytes: number): boolean
  /** Sets how many bytes of a body are held now. */
  setHeldBytes(bytes: number): boolean
  /** Counts it out with all of its bytes: it is done, or only waits. Idempotent. */
  remove(): void
}

/** The requests in flight of one connection; pipelining allows several. */
interface Tally {
  count: number
  bytes: number
  isClosed: boolean
}

/**
 * Counts by connection: Node tells only the request whose turn it is to answer that its client is gone, and those that
 * are pipelined behind it would never be counted out.
 *
 * @param mostBytes of bodies, from their first byte until their requests are answered, over all requests
 */
export function createRequestsInFlight(mostBytes: number): RequestsInFlight {
  const tallies = new WeakMap<Socket, Tally>()
  const all = { count: 0, bytes: 0 }

  function tallyOf(socket: Socket): Tally {
    const known = tallies.get(socket)
    if (known !== undefined) return known
    const tally = { count: 0, bytes: 0, isClosed: false }
    tallies.set(socket, tally)
    socket.once('close', () => {
      all.count -= tally.count
      all.bytes -= tally.bytes
      tally.isClosed = true
    })
    return tally
  }

  class CountedRequest implements RequestInFlight {
    readonly #tally: Tally
    #bytes = 0
    #hasLeft = false

    constructor(tally: Tally) {
      this.#tally = tally
      tally.count++
      all.count++
    }

    hasRoomFor(bytes: number): boolean {
      return all.bytes + bytes <= mostBytes || all.bytes === this.#bytes
    }

    holdBytes(bytes: number): boolean {
      return this.setHeldBytes(this.#bytes + bytes)
    }

    setHeldBytes(bytes: number): boolean {
      if (this.#hasLeft) return true
      if (this.#tally.isClosed) return false // nobody waits for it
      const more = bytes - this.#bytes
      if (more > 0 && !this.hasRoomFor(more)) return false
      this.#bytes = bytes
      this.#tally.bytes += more
      all.bytes += more
      return true
    }

    remove(): void {
      if (this.#hasLeft) return
      this.#hasLeft = true
      if (this.#tally.isClosed) return // counted out with its connection
      this.#tally.count--
      all.count--
      this.#tally.bytes -= this.#bytes
      all.bytes -= this.#bytes
    }
  }

  return {
    get count() {
      return all.count
    },
    add: (socket) => new CountedRequest(tallyOf(socket)),
  }
}
