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

/**
 * Starts a proxy on a free port of the loopback address.
 *
 * @param targetPort where the server listens on 127.0.0.1; read for every connection, as a server may move
 */
export async function startFaultyProxy(targetPort: number | (() => number)): Promise<FaultyProxy> {
  const pairs = new Set<readonly [Pipe, Pipe]>()
  const stalled = new Set<Direction>()
  let mostBytes: number | null = null
  let delayMs = 0
  let refusing = false
  let forbidden: RegExp | null = null
  const rewritten: (readonly [from: string, to: string])[] = []
  let cuts = 0

  const bytesUntilCut = () =>
    mostBytes === null ? Number.POSITIVE_INFINITY : Math.floor(Math.random() * mostBytes)

  function rewriteAll(bytes: Buffer): Buffer {
    if (rewritten.length === 0) return bytes
    const text = rewritten.reduce((all, [from, to]) => all.replaceAll(from, to), bytes.toString('latin1'))
    return Buffer.from(text, 'latin1')
  }

  function cutPair(pair: readonly [Pipe, Pipe]): void {
    if (!pairs.delete(pair)) return
    cuts += 1
    for (const { from } of pair) from.destroy()
  }

  function handOn(pipe: Pipe, pair: readonly [Pipe, Pipe], bytes: Buffer): void {
    if (!pairs.has(pair)) return
    const isRequest = pipe.direction === 'requests'
    if (isRequest && forbidden?.test(bytes.toString('latin1'))) return void cutPair(pair)
    if (stalled.has(pipe.direction)) return void pipe.held.push(bytes)
    if (bytes.length < pipe.left) {
      pipe.left -= bytes.length
      pipe.to.write(bytes)
      return
    }
    // The last bytes have to arrive before the connection breaks.
    pipe.to.write(bytes.subarray(0, pipe.left), () => cutPair(pair))
    pipe.left = 0
  }

  /** Forwards a chunk later, and in order, as the delay of the one before may be longer. */
  function handOnLater(pipe: Pipe, pair: readonly [Pipe, Pipe], bytes: Buffer): void {
    const at = performance.now() + delayMs
    pipe.delayed += 1
    pipe.last = pipe.last.then(async () => {
      const leftMs = at - performance.now()
      if (leftMs > 0) await pause(leftMs)
      pipe.delayed -= 1
      handOn(pipe, pair, bytes)
    })
  }

  const server = createServer((client) => {
    client.on('error', () => undefined)
    if (refusing) return void client.destroy()
    const upstream = open(typeof targetPort === 'number' ? targetPort : targetPort(), '127.0.0.1')
    const pipe = (direction: Direction, from: Socket, to: Socket): Pipe => ({
      ...{ direction, from, to, held: [], left: bytesUntilCut(), delayed: 0, last: Promise.resolve() },
    })
    const pair = [pipe('requests', client, upstream), pipe('replies', upstream, client)] as const
    pairs.add(pair)
    for (const each of pair) {
      each.from.setNoDelay(true)
      each.from.on('error', () => undefined)
      each.from.on('data', (read: Buffer) => {
        const bytes = each.direction === 'replies' ? rewriteAll(read) : read
        if (delayMs === 0 && each.delayed === 0) handOn(each, pair, bytes)
        else handOnLater(each, pair, bytes)
      })
      // Closed by one end: the other end loses it too, but this is no cut.
      each.from.on('close', () => {
        pairs.delete(pair)
        each.to.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return cuts
    },
    cut() {
      for (const pair of [...pairs]) cutPair(pair)
    },
    cutAtRandom(most) {
      mostBytes = most
      for (const pair of pairs) for (const pipe of pair) pipe.left = bytesUntilCut()
    },
    rewrite(from, to) {
      rewritten.push([from, to])
    },
    cutOn(pattern) {
      forbidden = pattern
    },
    stall(direction) {
      for (const each of direction === undefined ? (['requests', 'replies'] as const) : [direction])
        stalled.add(each)
    },
    flow() {
      stalled.clear()
      for (const pair of [...pairs]) {
        for (const pipe of pair) for (const bytes of pipe.held.splice(0)) handOn(pipe, pair, bytes)
      }
    },
    delay(ms) {
      delayMs = ms
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
      for (const pair of [...pairs]) cutPair(pair)
      await closed
    },
  }
}
