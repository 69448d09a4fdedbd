import type { Socket } from 'node:net'

/**
 * What has come of the response to the request under way. It reads along before the HTTP parser does, which makes an
 * error of a 100 that nobody asked for, and forgets the status where the headers after it are too many or broken.
 */
export interface ResponseHead {
  /** A request is about to be written: what comes next is the beginning of its response. */
  begin(): void
  /** how many requests this connection has carried, the one under way included */
  readonly requests: number
  /** whether anything has come since */
  readonly hasBegun: boolean
  /** of the response that ends the request, as soon as it has been read */
  readonly status: number | undefined
}

/** "HTTP/1.1 200": so many bytes tell the status. */
const STATUS_BYTES = 12
const VERSION = Buffer.from('HTTP/1.')
const [CR, LF, SPACE, ZERO, NINE] = [13, 10, 32, 48, 57]

/**
 * Removes interim responses (1xx, RFC 9110, 15.2) from what is read from a socket, and keeps nothing of them. It also
 * removes a 101, which nobody asked for: a server that switches protocols gives no answer in this one.
 *
 * It works on `read()`, which undici uses. Listeners of `data` get the same.
 */
export function watchResponses(socket: Socket): ResponseHead {
  const read = socket.read.bind(socket)
  const head = new Head()
  socket.read = (size?: number) => {
    for (;;) {
      const chunk: Buffer | null = read(size)
      if (chunk === null || head.isPassed) return chunk
      const rest = head.take(chunk)
      if (rest !== undefined) return rest
    }
  }
  return head
}

/**
 *   begin() ──▶ status line ──▶ passed: the parser gets all, to the next begin()
 *                 ▲     │ 1xx
 *         blank line    ▼
 *                 interim headers
 */
class Head implements ResponseHead {
  requests = 0
  hasBegun = false
  status: number | undefined
  isPassed = true
  /** a status line that is still incomplete */
  #held: Buffer | undefined
  #inInterim = false
  /** whether nothing but a CR has come since the last line break */
  #isLineEmpty = false

  begin(): void {
    this.requests += 1
    this.hasBegun = false
    this.status = undefined
    this.isPassed = false
    this.#held = undefined
    this.#inInterim = false
  }

  /** @returns what the parser is to have; undefined for nothing yet */
  take(chunk: Buffer): Buffer | undefined {
    this.hasBegun = true
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = undefined
    let at = 0
    for (;;) {
      if (this.#inInterim) at = this.#skipInterim(bytes, at)
      while (bytes[at] === CR || bytes[at] === LF) at += 1 // as the parser does between responses
      const left = bytes.length - at
      if (
        left < STATUS_BYTES &&
        bytes.compare(VERSION, 0, Math.min(left, VERSION.length), at, at + Math.min(left, VERSION.length)) ===
          0
      ) {
        this.#held = left === 0 ? undefined : bytes.subarray(at)
        return undefined
      }
      const status = statusAt(bytes, at)
      if (status === undefined || status < 100 || status > 199) {
        this.status = status
        this.isPassed = true
        return at === 0 ? bytes : bytes.subarray(at)
      }
      this.#inInterim = true
      this.#isLineEmpty = false
      at += STATUS_BYTES
    }
  }

  /** @returns where the interim response ends, or the bytes do */
  #skipInterim(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at]
      if (byte === LF) {
        if (this.#isLineEmpty) {
          this.#inInterim = false
          return at + 1
        }
        this.#isLineEmpty = true
      } else if (byte !== CR) this.#isLineEmpty = false
    }
    return bytes.length
  }
}

/** @returns undefined for what is no status line of HTTP/1 */
function statusAt(bytes: Buffer, at: number): number | undefined {
  for (let i = 0; i < VERSION.length; i += 1) if (bytes[at + i] !== VERSION[i]) return undefined
  if (bytes[at + VERSION.length + 1] !== SPACE) return undefined
  let status = 0
  for (let i = at + STATUS_BYTES - 3; i < at + STATUS_BYTES; i += 1) {
    const digit = bytes[i] ?? 0
    if (digit < ZERO || digit > NINE) return undefined
    status = status * 10 + digit - ZERO
  }
  return status
}
