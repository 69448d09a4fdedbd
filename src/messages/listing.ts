import type { ListedState, ListQuery, Position, QueryScripts, Row } from '../store/scripts/query.ts'
import { type Message, toMessage, type UnreadableMessage } from './message-view.ts'

export type { Position } from '../store/scripts/query.ts'

/** What a page may hold at most, in stored bytes. */
const PAGE_BYTES = 16_777_216
/** What one script call answers at most, so that none takes long. */
const CALL_MESSAGES = 100
const CALL_BYTES = 1_048_576

export interface PageQuery {
  readonly status: ListedState
  /** scheduled, claimed and dead messages only */
  readonly tag?: string
  /** epoch ms, inclusive */
  readonly from?: number
  /** epoch ms, exclusive */
  readonly to?: number
  readonly limit: number
  readonly after: Position | null
}

export interface Page {
  readonly messages: readonly (Message | UnreadableMessage)[]
  /** where the next page begins; null at the end */
  readonly end: Position | null
}

/** One index's part of a page: what has been read and not yet been taken, and where to read on. */
interface Source {
  readonly shard: number
  readonly selection: Pick<ListQuery, 'index' | 'keep'>
  readonly rows: Row[]
  next: Position | null
  ended: boolean
}

/**
 * Lists messages of one status in the order of their time and id, over all shards.
 *
 * A page begins after a time and id, whether that message still exists or not. A message that exists throughout is
 * neither missed nor repeated.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 * @see lua/query/list.lua
 */
export async function listPage(
  scripts: Pick<QueryScripts, 'list'>,
  shards: number,
  query: PageQuery,
): Promise<Page> {
  const sources = Array.from({ length: shards }, (_, shard) =>
    indexesOf(query).map(
      (selection): Source => ({ shard, selection, rows: [], next: query.after, ended: false }),
    ),
  ).flat()
  const messages: (Message | UnreadableMessage)[] = []
  let bytes = 0
  let end: Position | null = null
  for (;;) {
    await Promise.all(sources.map((source) => fill(scripts, source, query)))
    const source = first(sources)
    if (source === undefined) return { messages, end: null }
    const [row] = source.rows
    if (row === undefined) return { messages, end: null }
    bytes += Buffer.byteLength(row.record)
    if (messages.length === query.limit || (messages.length > 0 && bytes > PAGE_BYTES)) {
      return { messages, end }
    }
    source.rows.shift()
    end = { score: row.score, id: row.id }
    messages.push(toListed(row, query.status))
  }
}

function toListed(row: Row, status: ListedState): Message | UnreadableMessage {
  // Never a forgotten one: what is in an index has a record, or an entry in the history.
  return toMessage({ ...row, score: Number(row.score), state: status }) as Message | UnreadableMessage
}

/** Reads on until there is something, or nothing is left. */
async function fill(scripts: Pick<QueryScripts, 'list'>, source: Source, query: PageQuery): Promise<void> {
  while (source.rows.length === 0 && !source.ended) {
    const { rows, end } = await scripts.list(source.shard, {
      ...source.selection,
      from: query.from ?? null,
      before: query.to ?? null,
      after: source.next,
      limit: Math.min(query.limit, CALL_MESSAGES),
      bytes: CALL_BYTES,
    })
    source.rows.push(...rows)
    source.next = end
    source.ended = end === null
  }
}

/**
 * The indexes of a query in a shard: one, or three. A tag's index is by due time and has no dead letters. The few
 * claimed messages are listed by lock end and dead ones by their end, so both are searched.
 */
function indexesOf({ status, tag }: PageQuery): Pick<ListQuery, 'index' | 'keep'>[] {
  if (tag !== undefined) {
    return [status === 'scheduled' ? { index: { tag }, keep: 'scheduled' } : { index: status, keep: { tag } }]
  }
  const indexes: ListQuery['index'][] =
    status === 'scheduled' ? ['scheduled', 'forStreams', 'laned'] : [status]
  return indexes.map((index) => ({ index, keep: 'all' }))
}

function first(sources: readonly Source[]): Source | undefined {
  let least: Source | undefined
  for (const source of sources) {
    const [row] = source.rows
    const [other] = least?.rows ?? []
    if (row !== undefined && (other === undefined || precedes(row, other))) least = source
  }
  return least
}

/** Whether a place in an index comes before another. */
export const precedes = (a: Position, b: Position): boolean => {
  const difference = Number(a.score) - Number(b.score)
  return difference < 0 || (difference === 0 && a.id < b.id)
}
