import type { BatchSender, Delivery, Outcome } from '../delivery.ts'
import { READER_GONE, type Stdout } from './stdout.ts'

const INFO_LEVEL = 30

/** Rewrites one JSON line for a terminal's reader. */
export type LineFormat = (jsonLine: string) => string

/** One message as one line of JSON in the shape of the log's other lines. */
function toLine({ id, dueAt, lateMs, attempt, payload }: Delivery, now: number): string {
  // The payload is JSON already; a string's JSON is its msg, anything else's JSON text becomes one.
  const msg = payload.startsWith('"') ? payload : JSON.stringify(payload)
  const head = `{"level":${INFO_LEVEL},"time":${now},"messageId":"${id}","dueAt":${dueAt}`
  return `${head},"lateMs":${lateMs},"attempt":${attempt},"msg":${msg}}\n`
}

/** Line breaks to some readers, though not to JSON: escaped, so that a message is one line to all. */
const UNICODE_LINE_BREAKS = /[\u0085\u2028\u2029]/g
const toEscape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

export interface ConsoleOptions {
  readonly format?: LineFormat | undefined
  /** called once when the console can deliver nothing any longer */
  readonly onBroken: (error: Error) => void
}

/**
 * The console: a batch is one write, and delivered when that write is done. A write that fails is no failure of its
 * messages, which another server may well deliver: they are returned.
 */
export function createConsoleSender(stdout: Stdout, { format, onBroken }: ConsoleOptions): BatchSender {
  let broken = false
  return {
    async deliver(batch, startBy, signal) {
      const now = Date.now()
      let text = ''
      for (const delivery of batch) {
        const line = toLine(delivery, now)
        text += format === undefined ? line : format(line)
      }
      const result = await stdout.write(text.replace(UNICODE_LINE_BREAKS, toEscape), startBy, signal)
      if (
        result instanceof Error &&
        !broken &&
        READER_GONE.has((result as NodeJS.ErrnoException).code ?? '')
      ) {
        broken = true
        onBroken(
          new Error(
            `standard output is closed (${result.message}), so nothing can be delivered to the console`,
          ),
        )
      }
      const outcome: Outcome = result === 'written' ? { kind: 'delivered' } : { kind: 'returned' }
      return batch.map(() => outcome)
    },
  }
}
