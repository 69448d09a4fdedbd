import { TOO_LARGE } from '../../body/body-text.ts'
import { toText } from '../../body/charset.ts'
import { HttpError } from '../../errors/http-error.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BYTE_ORDER_MARK = '\uFEFF'
const FIRST_ROOM = 4_096
const LINE_TOO_LARGE = new HttpError(TOO_LARGE)

export interface Line {
  /** from 1; blank lines count */
  readonly number: number
  /** what is wrong with its bytes (too large, not UTF-8) where that keeps it from being text */
  readonly text: string | HttpError
}

/** Splits a stream of bytes into lines, in chunks of any size. */
export interface LineSplitter {
  /** how many bytes are kept of a line whose end has not come */
  readonly keptBytes: number
  /** The lines that end in this piece, blank ones left out, and at once the one that has become too large. */
  split(piece: Buffer): Generator<Line>
  /** The last line, if no line feed ended it. */
  rest(): Generator<Line>
}

/**
 * @param limit bytes that a line may have, its end not counted. No more than that is kept: a line that is too large is
 *   reported as soon as that is known, and skipped.
 */
export function createLineSplitter(limit: number): LineSplitter {
  let number = 1
  let skipping = false
  // The beginning of an incomplete line, in one buffer, however small the chunks are.
  let kept = Buffer.alloc(0)
  let keptBytes = 0

  function keep(piece: Buffer): void {
    const needed = keptBytes + piece.length
    if (needed > kept.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, kept.length * 2, FIRST_ROOM))
      kept.copy(larger, 0, 0, keptBytes)
      kept = larger
    }
    piece.copy(kept, keptBytes)
    keptBytes = needed
  }

  function forget(): void {
    keptBytes = 0
    if (kept.length > FIRST_ROOM) kept = Buffer.alloc(0)
  }

  function textOf(bytes: Buffer, from: number, to: number): string | HttpError {
    const end = to > from && bytes[to - 1] === CARRIAGE_RETURN ? to - 1 : to
    if (end - from > limit) return LINE_TOO_LARGE
    const text = toText(bytes.subarray(from, end))
    if (typeof text !== 'string') return text
    return number === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text
  }

  return {
    get keptBytes() {
      return keptBytes
    },
    *split(piece) {
      for (let from = 0; from < piece.length; ) {
        const lineFeed = piece.indexOf(LINE_FEED, from)
        const to = lineFeed === -1 ? piece.length : lineFeed
        if (!skipping && keptBytes + to - from > limit + 1) {
          skipping = true
          forget()
          yield { number, text: LINE_TOO_LARGE }
        }
        if (!skipping && (lineFeed === -1 || keptBytes > 0)) keep(piece.subarray(from, to))
        if (lineFeed === -1) return
        if (!skipping) {
          const text = keptBytes > 0 ? textOf(kept, 0, keptBytes) : textOf(piece, from, to)
          if (!isBlank(text)) yield { number, text }
          forget()
        }
        skipping = false
        number += 1
        from = lineFeed + 1
      }
    },
    *rest() {
      if (skipping || keptBytes === 0) return
      const text = textOf(kept, 0, keptBytes)
      if (!isBlank(text)) yield { number, text }
    },
  }
}

/** Most lines begin with a brace and are seen not to be blank at once. */
const isBlank = (text: string | HttpError) =>
  typeof text === 'string' && text.charCodeAt(0) !== 0x7b && text.trim() === ''
