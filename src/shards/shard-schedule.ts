/** When there is something to do in each shard. Times are monotonic ms (`performance.now()`). */
export class ShardSchedule {
  readonly #dueAt: number[] = []

  /** @param firstDueAt when each shard is due at first: in the past, in the order in which they are to come */
  constructor(shards: number, firstDueAt: (shard: number) => number = () => 0) {
    for (let shard = 0; shard < shards; shard += 1) this.#dueAt.push(firstDueAt(shard))
  }

  get shards(): number {
    return this.#dueAt.length
  }

  /** Adds shards, up to so many; they are due at once. */
  grow(shards: number): void {
    while (this.#dueAt.length < shards) this.#dueAt.push(0)
  }

  /** ms until the first shard is due, less than 0 if it is overdue; Infinity when none is scheduled. */
  get nextInMs(): number {
    return Math.min(...this.#dueAt) - performance.now()
  }

  /**
   * Takes the shard that has been due longest off the schedule, so that a backlog in one keeps nobody from the others.
   * @returns undefined when none is due
   */
  takeNext(): number | undefined {
    const dueAt = Math.min(...this.#dueAt)
    if (dueAt > performance.now()) return undefined
    const shard = this.#dueAt.indexOf(dueAt)
    this.#dueAt[shard] = Number.POSITIVE_INFINITY
    return shard
  }

  /** A shard is due in so many ms at the latest. */
  soon(shard: number, inMs: number): void {
    this.dueBy(shard, performance.now() + inMs)
  }

  /** A shard is due then at the latest; one that is not there is ignored. */
  dueBy(shard: number, at: number): void {
    const before = this.#dueAt[shard]
    if (before !== undefined && at < before) this.#dueAt[shard] = at
  }

  /** All shards are due at once. */
  allDue(): void {
    this.#dueAt.fill(0)
  }
}
