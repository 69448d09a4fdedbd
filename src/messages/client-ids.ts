import { setTimeout as delay } from 'node:timers/promises'
import { SchedulerError } from '../domain/errors.ts'
import type { RecordForm } from '../domain/message.ts'
import { fingerprintOf } from '../records/fingerprint.ts'
import { decodeHistoryEntry } from '../records/history.ts'
import { UnreadableError } from '../records/readable.ts'
import { decodeRecord, encodeRecordBody } from '../records/record.ts'
import { ANSWER_TIMEOUT_MS } from '../runtime/time-limit.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import type { FoundMessage, QueryScripts } from '../store/scripts/query.ts'
import { indexesOf } from './draft.ts'
import type { GroupCommit } from './group-commit.ts'
import { isFinished } from './message-view.ts'
import type { NewMessage, Scheduled } from './new-message.ts'

/** While the number of shards changes, a message whose shard changes with it asks again after this where it goes. */
const FIRST_ASK_MS = 25

/** The fingerprint of a record that cannot be read: no content has it. */
const UNREADABLE = ''

export interface ClientIdsDeps {
  readonly groupCommit: GroupCommit
  readonly scripts: Pick<QueryScripts, 'find'>
  readonly shardMap: ShardMap
  /** in which form destinations are stored just now */
  readonly recordForm: () => RecordForm
  /** how long finished client-made ids stay known */
  readonly dedupWindowMs: number
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

/** Stores messages under ids that clients chose: each once, however often it is sent. */
export interface ClientIds {
  /** @throws SchedulerError as Scheduler.schedule says */
  schedule(id: string, message: NewMessage): Promise<Scheduled>
}

export function createClientIds(deps: ClientIdsDeps): ClientIds {
  const { groupCommit, scripts, shardMap, recordForm, dedupWindowMs, now } = deps

  /**
   * Whether one of these shards has a client's id with the same content.
   * @throws SchedulerError ID_CONFLICT for different content
   */
  async function isKnownIn(shards: readonly number[], id: string, fingerprint: string): Promise<boolean> {
    for (const shard of shards) {
      const [found] = await scripts.find(shard, [id])
      const seen = found === undefined ? undefined : fingerprintIn(found)
      if (seen === undefined) continue
      if (seen !== fingerprint)
        throw new SchedulerError('ID_CONFLICT', 'the id is in use with different content')
      return true
    }
    return false
  }

  /** The fingerprint of a message whose id is still taken. */
  function fingerprintIn({ state, score, record }: FoundMessage): string | undefined {
    if (score === null) return record
    // The id of a cancelled message is free at once.
    if (state === 'cancelled' || (isFinished(state) && score + dedupWindowMs <= now())) return undefined
    try {
      const fingerprint = isFinished(state)
        ? decodeRecord(decodeHistoryEntry(record).record, 'optional').fingerprint
        : decodeRecord(record).fingerprint
      return fingerprint ?? undefined
    } catch (error) {
      // As in lua/schedule/schedule.lua.
      if (error instanceof UnreadableError) return UNREADABLE
      throw error
    }
  }

  return {
    async schedule(id, { due, payload, options = {}, future = false }) {
      const fingerprint = fingerprintOf(due, payload, options)
      const body = encodeRecordBody(payload, options, fingerprint, recordForm())
      const giveUpAt = performance.now() + ANSWER_TIMEOUT_MS
      // The shard of the id may change meanwhile, as shards may be added.
      for (let wait = FIRST_ASK_MS; ; wait *= 2) {
        const place = shardMap.placementOf(id)
        if (place !== undefined) {
          const { shard, others, validUntil } = place
          if (await isKnownIn(others, id, fingerprint)) {
            return { id, dueAt: 0, createdAt: 0, duplicate: true }
          }
          const own = { id, shard, validUntil }
          const stored = await groupCommit.add({ own, due, future, body, indexes: indexesOf(options) })
          if (!stored.moved) return stored
        }
        if (performance.now() + wait >= giveUpAt) {
          throw new SchedulerError('STORE_UNAVAILABLE', 'the number of shards is not known at the moment')
        }
        await delay(wait)
      }
    },
  }
}
