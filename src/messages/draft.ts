import { laneOf } from '../destinations/registry.ts'
import type { Due, MessageOptions } from '../domain/message.ts'
import type { Placement } from '../shards/shard-map.ts'

/** A message that is to be stored. */
export interface Draft {
  /** the client's id and where it goes; without it, one is made */
  readonly own?: { readonly id: string } & Pick<Placement, 'shard' | 'validUntil'>
  readonly due: Due
  /** whether it has to be due in the future */
  readonly future: boolean
  /** see encodeRecordBody */
  readonly body: string
  /** names of the indexes it is entered in: one for each of its tags, and one for its lane */
  readonly indexes?: readonly string[]
}

const NONE: readonly string[] = []

/** The indexes of a message in addition to the main due set: by tag, and by lane. */
export function indexesOf({ tags = NONE, destination }: MessageOptions = {}): readonly string[] {
  const lane = destination === undefined ? '' : laneOf(destination)
  return lane.includes(':') ? [...tags, lane] : tags
}
