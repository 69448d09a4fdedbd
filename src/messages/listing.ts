import type { ShardMap } from '../shards/shard-map.ts'
import type { FoundMessage, Position, QueryScripts } from '../store/scripts/query.ts'
import type { Direction, SearchScripts } from '../store/scripts/search.ts'
import { type Filter, statusOf } from './filter.ts'
import { isMatch } from './is-match.ts'
import { createMergedWalk } from './merged-walk.ts'
import { type Message, toMessage, type UnreadableMessage } from './message-view.ts'

export type { Position } from '../store/scripts/query.ts'

/** What a page may hold at most, in stored bytes. */
const PAGE_BYTES = 16_777_216

export interface PageQuery {
  readonly filter: Filter
  readonly direction: Direction
  readonly limit: number
  readonly after: Position | null
}

export interface Page {
  readonly messages: readonly (Message | UnreadableMessage)[]
  /** where the next page begins; null at the end */
  readonly end: Position | null
  /** the page ended early, as enough messages were looked at for one page */
  readonly isPart: boolean
}

export interface ListingDeps {
  readonly scripts: Pick<QueryScripts & SearchScripts, 'find' | 'list' | 'size'>
  readonly shardMap: Pick<ShardMap, 'all' | 'shardsOf'>
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

/**
 * Lists messages that match a filter in the order of their time and id, over all shards.
 *
 * A page begins after a time and id, whether that message still exists or not. A message that matches throughout is
 * neither missed nor repeated. The first page of a prefix of ids begins with the message whose whole id it is.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 * @see lua/query/list.lua
 */
export async function listPage(deps: ListingDeps, query: PageQuery): Promise<Page> {
  const { filter, limit, direction } = query
  const status = statusOf(filter)
  const messages: (Message | UnreadableMessage)[] = []
  // Never a forgotten one: what is in an index has a record, or an entry in the history.
  const toListed = (found: FoundMessage) => toMessage(found) as Message | UnreadableMessage
  const exact = query.after === null ? await findExact(deps, filter) : undefined
  if (exact !== undefined) messages.push(toListed(exact))
  let bytes = exact === undefined ? 0 : Buffer.byteLength(exact.record)
  let end = exact === undefined ? query.after : BEGINNING[direction]
  const walk = await createMergedWalk(deps, { ...query, after: end })
  for (;;) {
    const next = await walk.next()
    if (!('row' in next)) return { messages, end: next.end, isPart: next.end !== null }
    const { row } = next
    bytes += Buffer.byteLength(row.record)
    if (messages.length === limit || (messages.length > 0 && bytes > PAGE_BYTES)) {
      return { messages, end, isPart: false }
    }
    walk.take()
    end = { score: row.score, id: row.id }
    messages.push(toListed({ ...row, score: Number(row.score), state: status }))
  }
}

/** Before every message, at any time. */
const BEGINNING: Readonly<Record<Direction, Position>> = {
  up: { score: '0', id: '!' },
  down: { score: '9'.repeat(16), id: '~' },
}

/** The message whose whole id a filter's prefix is, if it matches. */
async function findExact(deps: ListingDeps, filter: Filter): Promise<FoundMessage | undefined> {
  const { scripts, shardMap, now } = deps
  if (filter.idPrefix === undefined) return undefined
  for (const shard of shardMap.shardsOf(filter.idPrefix)) {
    const [found] = await scripts.find(shard, [filter.idPrefix])
    if (found !== undefined && isMatch(found, filter, now())) return found
  }
  return undefined
}
