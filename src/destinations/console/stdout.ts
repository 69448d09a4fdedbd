import { closeSync, constants, fstatSync, openSync, readSync, write, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LONGEST_TIMER_MS } from '../../runtime/sleep.ts'

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

/** Whether a chunk was written completely, not started, or interrupted by an error. */
export type WriteResult = 'written' | 'not begun' | Error

const LINE_FEED = 10
/** The reader has closed the pipe: nothing written here will ever be read. */
export const READER_GONE: ReadonlySet<string> = new Set(['EPIPE', 'EBADF'])

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

/**
 * A failed write, for example on a full disk, may leave half a line. The next write ends that line first.
 *
 * @param fd 1 for standard output; tests take another
 * @param report called with one line when writes fail, and when they work again
 */
export function createStdout(fd = 1, report: (line: string) => void = reportOnStderr): Stdout {
  const queue: Chunk[] = []
  const out = { fd, nonBlockingFd: openNonBlocking(fd), isTorn: endsWithinLine(fd) }
  let running: Promise<void> | undefined
  let isFailing = false

  function trackErrors(result: WriteResult): void {
    if (result === 'not begun') return
    if (result === 'written') {
      if (isFailing) report('standard output is writable again')
      isFailing = false
    } else if (!isFailing && !READER_GONE.has((result as NodeJS.ErrnoException).code ?? '')) {
      isFailing = true
      report(
        `standard output is not writable (${result.message}): console messages wait until it is, and log ` +
          'lines are lost',
      )
    }
  }

  async function run(): Promise<void> {
    await undefined // never ends before its caller has put it into `running`
    for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
      const result = isTooLate(chunk) ? 'not begun' : await writeWhole(out, chunk)
      trackErrors(result)
      chunk.settle(result)
    }
    running = undefined
  }

  /** A chunk that waits behind a write that hangs is told when it is too late for it. */
  function withdrawWhenLate(chunk: Chunk): () => void {
    const withdraw = () => {
      const index = queue.indexOf(chunk)
      if (index === -1) return
      queue.splice(index, 1)
      chunk.settle('not begun')
    }
    const ms = chunk.startBy - performance.now()
    const timer = Number.isFinite(ms)
      ? setTimeout(withdraw, Math.min(Math.max(0, ms), LONGEST_TIMER_MS))
      : undefined
    chunk.signal?.addEventListener('abort', withdraw)
    return () => {
      clearTimeout(timer)
      chunk.signal?.removeEventListener('abort', withdraw)
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
        forget = withdrawWhenLate(chunk)
        running ??= run()
      })
    },
    async drain() {
      await running
    },
  }
}

/**
 * A second, non-blocking descriptor of the same pipe. A write that fits is done at once, which saves a turn through the
 * runtime's threads (a tenth of a millisecond). Only pipes have it: a write to a disk always blocks.
 *
 * @returns undefined where there is none, as on systems that cannot open a descriptor again
 */
function openNonBlocking(fd: number): number | undefined {
  try {
    if (!fstatSync(fd).isFIFO()) return undefined
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
}

/** @returns how many bytes fitted; undefined if it fails for another reason, which the blocking way reports */
function writeNonBlocking(fd: number, bytes: Buffer): number | undefined {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : undefined
  }
}

function reportOnStderr(line: string): void {
  try {
    writeSync(2, `carillon: ${line}\n`)
  } catch {
    // There is nobody left to tell.
  }
}

/** Whether a file is written on whose last line was never ended: by a process before, which a full disk has stopped. */
function endsWithinLine(fd: number): boolean {
  try {
    const { size } = fstatSync(fd)
    if (!fstatSync(fd).isFile() || size === 0) return false
    const reader = openSync(`/proc/self/fd/${fd}`, 'r')
    const last = Buffer.alloc(1)
    readSync(reader, last, 0, 1, size - 1)
    closeSync(reader)
    return last[0] !== LINE_FEED
  } catch {
    return false // not to be read, or no such folder on this system
  }
}

interface Out {
  readonly fd: number
  /** see openNonBlocking */
  readonly nonBlockingFd: number | undefined
  /** whether what was written last ends within a line */
  isTorn: boolean
}

async function writeWhole(out: Out, chunk: Chunk): Promise<WriteResult> {
  const bytes = Buffer.from(out.isTorn ? `\n${chunk.text}` : chunk.text)
  let offset = 0
  // A write that waits in a thread has started and cannot be withdrawn. So none is started while there is no room.
  while (out.nonBlockingFd !== undefined && bytes.length > 0) {
    const written = writeNonBlocking(out.nonBlockingFd, bytes)
    if (written !== 0) {
      offset = written ?? 0
      break
    }
    if (isTooLate(chunk)) return 'not begun'
    await delay(NO_ROOM_WAIT_MS)
  }
  while (offset < bytes.length) {
    try {
      const { bytesWritten } = await writeTo(out.fd, bytes, offset, bytes.length - offset)
      offset += bytesWritten
    } catch (error) {
      const writeError = error as NodeJS.ErrnoException // what fs.write rejects with
      if (writeError.code !== 'EAGAIN') {
        if (offset > 0) out.isTorn = bytes[offset - 1] !== LINE_FEED
        return writeError
      }
      if (offset === 0 && isTooLate(chunk)) return 'not begun'
      await delay(FULL_PIPE_WAIT_MS)
    }
  }
  out.isTorn = false
  return 'written'
}
