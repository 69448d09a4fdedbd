/** Every server writes at most so often which queues it was asked for. */
const WRITE_EVERY_MS = 10_000

/**
 * Notes which queues workers have asked for messages, so that any server can tell that nobody does. A queue that
 * a worker waits for is asked all the time.
 */
export class AskedQueues {
  readonly #write: (queues: readonly string[]) => Promise<void>
  readonly #asked = new Set<string>()
  /** by queue, how many requests are under way */
  readonly #asking = new Map<string, number>()
  #writtenAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** @param write notes that these were asked now; a call that fails is made up for by the next */
  constructor(write: (queues: readonly string[]) => Promise<void>) {
    this.#write = write
  }

  /** A worker asks. @returns what to call once it has its answer */
  ask(queue: string): () => void {
    this.#asking.set(queue, (this.#asking.get(queue) ?? 0) + 1)
    this.#note(queue)
    return () => {
      const left = (this.#asking.get(queue) ?? 1) - 1
      if (left > 0) this.#asking.set(queue, left)
      else this.#asking.delete(queue)
      this.#note(queue)
    }
  }

  #note(queue: string): void {
    this.#asked.add(queue)
    if (this.#timer === undefined) this.#arm()
  }

  #arm(): void {
    const inMs = this.#writtenAt + WRITE_EVERY_MS - performance.now()
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, inMs)).unref()
  }

  #flush(): void {
    const queues = [...new Set([...this.#asked, ...this.#asking.keys()])]
    this.#asked.clear()
    this.#timer = undefined
    this.#writtenAt = performance.now()
    if (this.#asking.size > 0) this.#arm()
    void this.#write(queues).catch(() => undefined)
  }
}
