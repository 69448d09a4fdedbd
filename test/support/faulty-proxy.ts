import { once } from 'node:events'
import { type AddressInfo, createServer, connect as open, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** A direction through the proxy: from clients to the server, or back. */
type Direction = 'requests' | 'replies'

/** A TCP proxy in front of one server that breaks connections as networks do. */
export interface FaultyProxy {
  readonly port: number
  /** how many connections it has cut so far */
  readonly cuts: number
  /** Cuts every connection at once, as a restart of the server or `CLIENT KILL` does. */
  cut(): void
  /**
   * Cuts each connection, present or future, once a random number of further bytes has passed in either direction.
   * The bytes before the cut are forwarded, so that requests and replies arrive in part.
   *
   * @param mostBytes the highest number of bytes, in each direction; null ends it
   */
  cutAtRandom(mostBytes: number | null): void
  /**
   * Cuts each connection on which a client sends bytes that match, before they are forwarded; null ends it. A command
   * of a few hundred bytes comes in one piece.
   */
  cutOn(pattern: RegExp | null): void
  /** Replaces a text in replies by another of the same length. */
  rewrite(from: string, to: string): void
  /** Holds back all bytes of a direction, both unless given. Connections stay open. */
  stall(direction?: Direction): void
  /** Forwards the bytes that were held back, and all that follow. */
  flow(): void
  /** Forwards every chunk `ms` later, in each direction. */
  delay(ms: number): void
  /** Cuts new connections at once, until `accept`. Open ones stay. */
  refuse(): void
  accept(): void
  /** Cuts all connections and stops listening. Idempotent. */
  stop(): Promise<void>
}

interface Pipe {
  readonly direction: Direction
  readonly from: Socket
  readonly to: Socket
  readonly held: Buffer[]
  /** bytes until the cut */
  left: number
  /** how many chunks are delayed, and when the last of them has been forwarded */
  delayed: number
  last: Promise<void>
}

type Pair = readonly [Pipe, Pipe]

/**
 * Starts a proxy on a free port of the loopback address.
 *
 * @param targetPort where the server listens on 127.0.0.1; read for every connection, as a server may move
 */
export async function startFaultyProxy(targetPort: number | (() => number)): Promise<FaultyProxy> {
  const pairs = new Pairs()
  let refusing = false
  const server = createServer((client) => {
    client.on('error', () => undefined)
    if (refusing) return void client.destroy()
    const upstream = open(typeof targetPort === 'number' ? targetPort : targetPort(), '127.0.0.1')
    pairs.join(client, upstream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return pairs.cuts
    },
    cut: () => pairs.cutAll(),
    cutAtRandom: (most) => pairs.cutAtRandom(most),
    rewrite: (from, to) => void pairs.rewritten.push([from, to]),
    cutOn(pattern) {
      pairs.forbidden = pattern
    },
    stall(direction) {
      for (const each of direction === undefined ? (['requests', 'replies'] as const) : [direction])
        pairs.stalled.add(each)
    },
    flow: () => pairs.flow(),
    delay(ms) {
      pairs.delayMs = ms
    },
    refuse() {
      refusing = true
    },
    accept() {
      refusing = false
    },
    async stop() {
      const closed = server.listening ? once(server, 'close') : undefined
      server.close()
      pairs.cutAll()
      await closed
    },
  }
}

/** The open connections, each with a pipe in both directions, and what is wrong with them. */
class Pairs {
  cuts = 0
  delayMs = 0
  forbidden: RegExp | null = null
  readonly stalled = new Set<Direction>()
  readonly rewritten: (readonly [from: string, to: string])[] = []
  readonly #open = new Set<Pair>()
  #mostBytes: number | null = null

  /** Forwards bytes between the two ends of a new connection. */
  join(client: Socket, upstream: Socket): void {
    const pipe = (direction: Direction, from: Socket, to: Socket): Pipe => ({
      ...{ direction, from, to, held: [], left: this.#bytesUntilCut(), delayed: 0, last: Promise.resolve() },
    })
    const pair = [pipe('requests', client, upstream), pipe('replies', upstream, client)] as const
    this.#open.add(pair)
    for (const each of pair) {
      each.from.setNoDelay(true)
      each.from.on('error', () => undefined)
      each.from.on('data', (read: Buffer) => {
        const bytes = each.direction === 'replies' ? this.#rewrite(read) : read
        if (this.delayMs === 0 && each.delayed === 0) this.#forward(each, pair, bytes)
        else this.#forwardLater(each, pair, bytes)
      })
      // Closed by one end: the other end loses it too, but this is no cut.
      each.from.on('close', () => {
        this.#open.delete(pair)
        each.to.destroy()
      })
    }
  }

  cutAll(): void {
    for (const pair of [...this.#open]) this.#cut(pair)
  }

  cutAtRandom(most: number | null): void {
    this.#mostBytes = most
    for (const pair of this.#open) for (const pipe of pair) pipe.left = this.#bytesUntilCut()
  }

  flow(): void {
    this.stalled.clear()
    for (const pair of [...this.#open]) {
      for (const pipe of pair) for (const bytes of pipe.held.splice(0)) this.#forward(pipe, pair, bytes)
    }
  }

  #bytesUntilCut(): number {
    return this.#mostBytes === null ? Number.POSITIVE_INFINITY : Math.floor(Math.random() * this.#mostBytes)
  }

  #rewrite(bytes: Buffer): Buffer {
    if (this.rewritten.length === 0) return bytes
    const text = this.rewritten.reduce(
      (all, [from, to]) => all.replaceAll(from, to),
      bytes.toString('latin1'),
    )
    return Buffer.from(text, 'latin1')
  }

  #cut(pair: Pair): void {
    if (!this.#open.delete(pair)) return
    this.cuts += 1
    for (const { from } of pair) from.destroy()
  }

  #forward(pipe: Pipe, pair: Pair, bytes: Buffer): void {
    if (!this.#open.has(pair)) return
    const isRequest = pipe.direction === 'requests'
    if (isRequest && this.forbidden?.test(bytes.toString('latin1'))) return void this.#cut(pair)
    if (this.stalled.has(pipe.direction)) return void pipe.held.push(bytes)
    if (bytes.length < pipe.left) {
      pipe.left -= bytes.length
      pipe.to.write(bytes)
      return
    }
    // The last bytes have to arrive before the connection breaks.
    pipe.to.write(bytes.subarray(0, pipe.left), () => this.#cut(pair))
    pipe.left = 0
  }

  /** Forwards a chunk later, and in order, as the delay of the one before may be longer. */
  #forwardLater(pipe: Pipe, pair: Pair, bytes: Buffer): void {
    const at = performance.now() + this.delayMs
    pipe.delayed += 1
    pipe.last = pipe.last.then(async () => {
      const leftMs = at - performance.now()
      if (leftMs > 0) await pause(leftMs)
      pipe.delayed -= 1
      this.#forward(pipe, pair, bytes)
    })
  }
}
