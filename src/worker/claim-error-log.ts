import type { Logger } from 'pino'

/** Shards on one lost master fail within this of each other, and are told of in one line. */
const TOGETHER_MS = 250

/** Tells of shards that cannot be claimed from, and of those that can again: once each, not at every try. */
export interface Trouble {
  failed(shard: number, error: unknown): void
  works(shard: number): void
}

export function createTrouble(logger: Logger): Trouble {
  const failing = new Set<number>()
  let broken: number[] = []
  let mended: number[] = []
  let lastError: unknown
  let timer: NodeJS.Timeout | undefined

  const tell = () => {
    timer = undefined
    if (broken.length > 0) logger.error({ shards: broken, err: lastError }, 'claims fail; retrying')
    if (mended.length > 0) logger.info({ shards: mended }, 'claims succeed again')
    broken = []
    mended = []
  }
  const tellSoon = () => {
    if (timer === undefined) timer = setTimeout(tell, TOGETHER_MS).unref()
  }

  return {
    failed(shard, error) {
      if (failing.has(shard)) return
      failing.add(shard)
      broken.push(shard)
      lastError = error
      tellSoon()
    },
    works(shard) {
      if (!failing.delete(shard)) return
      mended.push(shard)
      tellSoon()
    },
  }
}
