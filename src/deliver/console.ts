import type { Delivery, Destination, Outcome } from './deliver.ts'
import type { Stdout } from './stdout.ts'

const INFO_LEVEL = 30

/** Rewrites one JSON line for a terminal's reader. */
export type LineFormat = (jsonLine: string) => string

/** One message as one line of JSON in the shape of the log's other lines. */
function toLine({ id, dueAt, lateMs, attempt, payload }: Delivery, now: number): string {
  // The payload is JSON already; a string's JSON is its msg, anything else's JSON text becomes one.
  const msg = payload.startsWith('"') ? payload : JSON.stringify(payload)
  return `{"level":${INFO_LEVEL},"time":${now},"messageId":"${id}","dueAt":${dueAt},"lateMs":${lateMs},"attempt":${attempt},"msg":${msg}}\n`
}

/** Line breaks to some readers, though not to JSON: escaped, so that a message is one line to all. */
const UNICODE_LINE_BREAKS = /[\u0085\u2028\u2029]/g
const toEscape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** The console: a batch is one write, and delivered when that write is done. */
export function createConsole(stdout: Stdout, format?: LineFormat): Destination {
  return {
    async deliver(batch, startBy, signal) {
      const now = Date.now()
      let text = ''
      for (const delivery of batch) {
        const line = toLine(delivery, now)
        text += format === undefined ? line : format(line)
      }
      const result = await stdout.write(text.replace(UNICODE_LINE_BREAKS, toEscape), startBy, signal)
      return batch.map(() => toOutcome(result))
    },
  }
}

function toOutcome(result: Awaited<ReturnType<Stdout['write']>>): Outcome {
  if (result === 'written') return { kind: 'delivered' }
  if (result === 'not begun') return { kind: 'returned' }
  return { kind: 'failed', reason: result.message }
}
