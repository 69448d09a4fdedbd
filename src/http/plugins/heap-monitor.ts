import { getHeapStatistics } from 'node:v8'

/**
 * Says whether V8's heap holds more than it should, garbage that is not yet collected included. It looks when it is
 * asked, and at most once in `everyMs`: without a timer, and without opening a file as `process.memoryUsage()` does,
 * which throws in a process that is out of file descriptors.
 *
 * @param mostBytes bytes in use from which on it is full
 * @param everyMs how long a look holds, ms
 */
export function createHeapMonitor(mostBytes: number, everyMs: number): () => boolean {
  let lookAgainAt = 0
  let isFull = false
  return () => {
    const now = performance.now()
    if (now >= lookAgainAt) {
      lookAgainAt = now + everyMs
      isFull = getHeapStatistics().used_heap_size > mostBytes
    }
    return isFull
  }
}
