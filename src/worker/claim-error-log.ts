import type { Logger } from 'pino'

/** Shards on one lost master fail within this time, and share one log line. */
const TOGETHER_MS = 250

/** The results of one claimer's claims. */
export interface ClaimErrors {
  failed(shard: number, error: unknown): void
  recovered(shard: number): void
}

/** Logs once when a shard starts failing for any claimer, and once when it recovers for all of them. */
export class ClaimErrorLog {
  readonly #logger: Logger
  /** for each shard, the claimers that fail there */
  readonly #failing = new Map<number, Set<string>>()
  #broken: number[] = []
  #recovered: number[] = []
  #lastError: unknown
  #timer: NodeJS.Timeout | undefined

  constructor(logger: Logger) {
    this.#logger = logger
  }

  of(claimer: string): ClaimErrors {
    return {
      failed: (shard, error) => this.#failed(shard, claimer, error),
      recovered: (shard) => this.#works(shard, claimer),
    }
  }

  #failed(shard: number, claimer: string, error: unknown): void {
    const claimers = this.#failing.get(shard)
    if (claimers !== undefined) {
      claimers.add(claimer)
      return
    }
    this.#failing.set(shard, new Set([claimer]))
    this.#broken.push(shard)
    this.#lastError = error
    this.#logSoon()
  }

  #works(shard: number, claimer: string): void {
    const claimers = this.#failing.get(shard)
    if (!claimers?.delete(claimer) || claimers.size > 0) return
    this.#failing.delete(shard)
    this.#recovered.push(shard)
    this.#logSoon()
  }

  #logSoon(): void {
    this.#timer ??= setTimeout(() => this.#log(), TOGETHER_MS).unref()
  }

  #log(): void {
    this.#timer = undefined
    const [broken, recovered] = [this.#broken.splice(0), this.#recovered.splice(0)]
    if (broken.length > 0) {
      this.#logger.error({ shards: broken, err: this.#lastError }, 'claims fail; retrying')
    }
    if (recovered.length > 0) this.#logger.info({ shards: recovered }, 'claims succeed again')
  }
}
