/** When each shard is due for a claim. Times are monotonic ms (`performance.now()`). */
export class ShardSchedule {
  readonly #dueAt: number[] = []

  /** @param firstDueAt when each shard is first due; in the past, earlier ones first */
  constructor(shards: number, firstDueAt: (shard: number) => number = () => 0) {
    for (let shard = 0; shard < shards; shard += 1) this.#dueAt.push(firstDueAt(shard))
  }

  get shards(): number {
    return this.#dueAt.length
  }

  /** Adds shards, up to this number; they are due immediately. */
  grow(shards: number): void {
    while (this.#dueAt.length < shards) this.#dueAt.push(0)
  }

  /** ms until the first shard is due, less than 0 if it is overdue; Infinity if none is scheduled. */
  get nextInMs(): number {
    return Math.min(...this.#dueAt) - performance.now()
  }

  /**
   * Takes the shard that has been due longest off the schedule, so that a backlog in one shard does not delay others.
   * @returns undefined if none is due
   */
  takeNext(): number | undefined {
    const dueAt = Math.min(...this.#dueAt)
    if (dueAt > performance.now()) return undefined
    const shard = this.#dueAt.indexOf(dueAt)
    this.#dueAt[shard] = Number.POSITIVE_INFINITY
    return shard
  }

  /** A shard is due within `inMs`. */
  soon(shard: number, inMs: number): void {
    this.dueBy(shard, performance.now() + inMs)
  }

  /** A shard is due by this time; an unknown shard is ignored. */
  dueBy(shard: number, at: number): void {
    const before = this.#dueAt[shard]
    if (before !== undefined && at < before) this.#dueAt[shard] = at
  }

  /** All shards are due now. */
  allDue(): void {
    this.#dueAt.fill(0)
  }
}
