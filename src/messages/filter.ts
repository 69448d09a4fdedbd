import type { ListedState, Position } from '../store/scripts/query.ts'
import type { Direction } from '../store/scripts/search.ts'

export type { Direction } from '../store/scripts/search.ts'

/** Which messages: those for which all that is given holds. See `problemOf` for what cannot be combined. */
export interface Filter {
  /** scheduled unless given; dead with a reason */
  readonly status?: ListedState
  readonly tag?: string
  /** the name of a lane, see readLane: "webhook:https://api.shop", "pull:emails", "stream" or "console" */
  readonly destination?: string
  /** the recorded reason of dead letters, exactly */
  readonly reason?: string
  /** how the id begins; the whole id, too */
  readonly idPrefix?: string
  /** one of these */
  readonly ids?: readonly string[]
  /** epoch ms, inclusive: when it is due, or the time that its status is ordered by */
  readonly from?: number
  /** the same, exclusive */
  readonly to?: number
  /** scheduled, and due by Redis's clock */
  readonly late?: boolean
}

/** Why a filter cannot be had. */
export interface FilterProblem {
  readonly field: keyof Filter
  /** in words, beginning with a verb */
  readonly message: string
}

export const statusOf = ({ status, reason }: Filter): ListedState =>
  status ?? (reason === undefined ? 'scheduled' : 'dead')

/** @returns undefined for a filter that can be had */
export function problemOf(filter: Filter): FilterProblem | undefined {
  const status = statusOf(filter)
  if (filter.reason !== undefined && status !== 'dead')
    return { field: 'reason', message: 'requires the status dead' }
  if (filter.late === true && status !== 'scheduled')
    return { field: 'late', message: 'requires the status scheduled' }
  if (filter.tag !== undefined && !TAGGED.includes(status))
    return { field: 'tag', message: 'requires the status scheduled, claimed or dead' }
  return undefined
}

const TAGGED: readonly ListedState[] = ['scheduled', 'claimed', 'dead']

/** A part of what matches a filter in one shard. */
export interface MatchPage {
  /** in order, each once; none where nothing of this part matches */
  readonly matches: readonly Position[]
  /** where the next part begins, whether or not a message is there; null when nothing is left */
  readonly end: Position | null
  /** how many messages were looked at for it */
  readonly looked: number
}

/**
 * Walks through what matches a filter, one shard at a time, in order of time and id; with ids, in order of these, their
 * positions without a time.
 */
export interface Matches {
  /**
   * The next part of a shard, for which some hundred messages are looked at. A caller that continues from each `end`
   * meets a message that matches all the time exactly once, if its time stays.
   *
   * @param after the `end` of the part before; null for the first
   * @param until where to stop: the `last` of when this began, so that what appears behind it is left out
   * @param limit matches at most
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  page(
    shard: number,
    filter: Filter,
    args: { after: Position | null; until?: Position; direction: Direction; limit: number },
  ): Promise<MatchPage>
  /**
   * Where the last message that may match is at present, in this direction; null when there is none.
   *
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  last(shard: number, filter: Filter, direction: Direction): Promise<Position | null>
}
