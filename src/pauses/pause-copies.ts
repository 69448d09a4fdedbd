import type { ShardMap } from '../shards/shard-map.ts'
import type { PauseScripts } from '../store/scripts/pauses.ts'
import { copyOf, type Pause } from './pause.ts'
import { fieldOf } from './target.ts'

/** Has every shard's copy of the list of pauses be as the list. */
export interface PauseCopies {
  /** Writes a list to every shard. @throws what the first shard that failed threw, once all have answered */
  write(revision: number, pauses: Iterable<Pause>): Promise<void>
  /**
   * Writes a list to every shard that may not have it; to one shard in turn otherwise, which may have lost it.
   *
   * @returns the pauses that all shards have finished resuming
   */
  check(revision: number, pauses: Iterable<Pause>): Promise<Pause[]>
}

export interface PauseCopiesDeps {
  readonly scripts: Pick<PauseScripts, 'copyPauses'>
  readonly shardMap: Pick<ShardMap, 'all'>
}

export function createPauseCopies({ scripts, shardMap }: PauseCopiesDeps): PauseCopies {
  /** what every shard has, of how many */
  let written = { revision: 0, shards: 0 }
  let turn = 0

  const copyTo = (shard: number, revision: number, pauses: readonly Pause[]) =>
    scripts.copyPauses(shard, {
      revision,
      pauses: pauses.map((pause) => [fieldOf(pause.target), copyOf(pause, shard)] as const),
    })

  /** @returns the fields of which something is left to be resumed in some shard */
  async function writeAll(revision: number, pauses: readonly Pause[]): Promise<Set<string>> {
    const shards = shardMap.all
    const all = Array.from({ length: shards }, (_, shard) => shard)
    const results = await Promise.allSettled(all.map((shard) => copyTo(shard, revision, pauses)))
    const unfinished = new Set<string>()
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason
      for (const field of result.value) unfinished.add(field)
    }
    if (revision >= written.revision) written = { revision, shards }
    return unfinished
  }

  return {
    async write(revision, pauses) {
      await writeAll(revision, [...pauses])
    },
    async check(revision, pauses) {
      const all = [...pauses]
      const resuming = all.filter(({ resume }) => resume !== null)
      const isWritten = written.revision === revision && written.shards === shardMap.all
      if (!isWritten || resuming.length > 0) {
        const unfinished = await writeAll(revision, all)
        return resuming.filter((pause) => !unfinished.has(fieldOf(pause.target)))
      }
      if (all.length > 0) {
        turn = (turn + 1) % shardMap.all
        await copyTo(turn, revision, all)
      }
      return []
    },
  }
}
