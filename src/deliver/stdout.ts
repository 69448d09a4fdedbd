import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LONGEST_TIMER_MS } from '../sleep.ts'

const writeTo = promisify(write)

/** A full pipe says EAGAIN when its other end made it non-blocking; ask again after this. */
const FULL_PIPE_WAIT_MS = 5
/** So soon the end of our own, which never blocks, is asked again for room. */
const NO_ROOM_WAIT_MS = 1

interface Chunk {
  readonly text: string
  readonly startBy: number
  readonly signal: AbortSignal | undefined
  readonly settle: (written: WriteResult) => void
}

const isTooLate = ({ startBy, signal }: Chunk): boolean =>
  performance.now() > startBy || signal?.aborted === true

/** Whether a chunk was written whole, never begun, or broken off by an error. */
export type WriteResult = 'written' | 'not begun' | Error

/** Standard output, shared by log lines and delivered messages so that no line is torn. */
export interface Stdout {
  /**
   * Writes text after all that was handed in before. Never blocks the event loop and never rejects: a
   * reader that has stopped reading holds up only what is written here.
   *
   * @param text whole lines
   * @param startBy monotonic ms after which the write must not begin any more
   * @param signal aborted when a write that has not begun must not begin any more
   */
  write(text: string, startBy?: number, signal?: AbortSignal): Promise<WriteResult>
  /** Resolves when everything handed in before has been settled. */
  drain(): Promise<void>
}

/** @param fd 1 for standard output; tests take another */
export function createStdout(fd = 1): Stdout {
  const queue: Chunk[] = []
  const atOnce = openAtOnce(fd)
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    await undefined // never ends before its caller has put it into `running`
    for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
      chunk.settle(isTooLate(chunk) ? 'not begun' : await writeWhole(fd, atOnce, chunk))
    }
    running = undefined
  }

  /** A chunk that waits behind a write that hangs is told when it is too late for it. */
  function giveUpInTime(chunk: Chunk): () => void {
    const giveUp = () => {
      const place = queue.indexOf(chunk)
      if (place === -1) return
      queue.splice(place, 1)
      chunk.settle('not begun')
    }
    const ms = chunk.startBy - performance.now()
    const timer = Number.isFinite(ms)
      ? setTimeout(giveUp, Math.min(Math.max(0, ms), LONGEST_TIMER_MS))
      : undefined
    chunk.signal?.addEventListener('abort', giveUp)
    return () => {
      clearTimeout(timer)
      chunk.signal?.removeEventListener('abort', giveUp)
    }
  }

  return {
    write(text, startBy = Number.POSITIVE_INFINITY, signal) {
      return new Promise((resolve) => {
        let forget = () => {}
        const settle = (result: WriteResult) => {
          forget()
          resolve(result)
        }
        const chunk = { text, startBy, signal, settle }
        queue.push(chunk)
        forget = giveUpInTime(chunk)
        running ??= run()
      })
    },
    async drain() {
      await running
    },
  }
}

/**
 * A pipe once more, as one that never blocks: what it has room for is written in the same breath, which saves a turn
 * through the runtime's threads, a tenth of a millisecond. Others than pipes have no such end: a disk blocks whatever is asked.
 *
 * @returns undefined where there is none, as on systems that cannot open what is open anew
 */
function openAtOnce(fd: number): number | undefined {
  try {
    if (!fstatSync(fd).isFIFO()) return undefined
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
}

/** @returns how many bytes there was room for; undefined where it fails for another reason, which the patient way tells */
function writeAtOnce(fd: number, bytes: Buffer): number | undefined {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : undefined
  }
}

async function writeWhole(fd: number, atOnce: number | undefined, chunk: Chunk): Promise<WriteResult> {
  const bytes = Buffer.from(chunk.text)
  let offset = 0
  // A write that waits in a thread has begun, and can be withdrawn no more: as long as there is no room, none does.
  while (atOnce !== undefined && bytes.length > 0) {
    const written = writeAtOnce(atOnce, bytes)
    if (written !== 0) {
      offset = written ?? 0
      break
    }
    if (isTooLate(chunk)) return 'not begun'
    await delay(NO_ROOM_WAIT_MS)
  }
  while (offset < bytes.length) {
    try {
      const { bytesWritten } = await writeTo(fd, bytes, offset, bytes.length - offset)
      offset += bytesWritten
    } catch (error) {
      const failure = error as NodeJS.ErrnoException // what fs.write rejects with
      if (failure.code !== 'EAGAIN') return failure
      if (offset === 0 && isTooLate(chunk)) return 'not begun'
      await delay(FULL_PIPE_WAIT_MS)
    }
  }
  return 'written'
}
