import { randomBytes } from 'node:crypto'
import { SchedulerError } from '../domain/errors.ts'
import type { MessageOptions } from '../domain/message.ts'
import type { Counted } from '../messages/count.ts'
import type { Filter } from '../messages/filter.ts'
import type { Page, PageQuery } from '../messages/listing.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { Changes } from '../store/scripts/change.ts'
import type { OperationScripts, Progress, StoredOperation } from '../store/scripts/operations.ts'
import { firstCursor } from './cursor.ts'
import { describeFilter, type OperationRequest } from './request.ts'
import { KEPT_MS, LEASE_MS } from './run.ts'
import type { OperationRunner } from './runner.ts'

export type { StoredOperation } from '../store/scripts/operations.ts'

/** So many run at a time, over all servers; each keeps Redis busy as long as it runs. */
const MOST_RUNNING = 16
/** So many are kept, with those that have ended. */
const MOST_KEPT = 200

/** What is done with many messages in the background, by whichever server is up. */
export interface Operations {
  /**
   * Changes nothing.
   *
   * @returns how many messages an operation would be for, and the first three
   * @throws SchedulerError STORE_UNAVAILABLE
   */
  preview(filter: Filter): Promise<Counted & { first: Page['messages'] }>
  /**
   * Begins one. What matches by then is done, each message once; messages that others change meanwhile may be left out.
   *
   * @throws SchedulerError LIMIT_REACHED, STORE_UNAVAILABLE
   */
  begin(operation: NewOperation): Promise<StoredOperation>
  /** @returns the newest first */
  list(): Promise<readonly StoredOperation[]>
  /** @throws SchedulerError OPERATION_NOT_FOUND */
  find(id: string): Promise<StoredOperation>
  /** Ends it: nothing more is done within some hundred ms. Does nothing if it has ended. @throws as find does */
  stop(id: string): Promise<StoredOperation>
}

export interface NewOperation {
  readonly request: Omit<OperationRequest, 'changes'>
  /** redrive: what the messages get in place of what they have */
  readonly options?: Pick<MessageOptions, 'destination' | 'retry'>
  /** the name of an API key; null where there are none */
  readonly by: string | null
}

export interface OperationsDeps {
  readonly count: (filter: Filter) => Promise<Counted>
  readonly listPage: (query: PageQuery) => Promise<Page>
  /** options as they are stored, see encodeOptions */
  readonly encode: (options: MessageOptions) => Changes['options']
  readonly scripts: Pick<OperationScripts, 'begin' | 'operations' | 'stop'>
  readonly runner: Pick<OperationRunner, 'run'>
  readonly metrics: Pick<Metrics, 'operationEnded'>
  /** this server */
  readonly owner: string
  /** how many shards may hold messages */
  readonly shards: () => number
  /** told when one has begun, and when it was stopped */
  readonly onChange: (operation: StoredOperation) => void
}

const NOTHING_DONE = { done: 0, failed: 0, claimed: 0, gone: 0, unreadable: 0 }

export function createOperations(deps: OperationsDeps): Operations {
  const { scripts, runner, metrics, owner, shards, onChange, count, listPage, encode } = deps

  async function find(id: string): Promise<StoredOperation> {
    const [found] = await scripts.operations(id)
    if (found === undefined) throw new SchedulerError('OPERATION_NOT_FOUND', 'no operation has this id')
    return found
  }

  return {
    async preview(filter) {
      const firstPage: PageQuery = { filter, limit: 3, direction: 'up', after: null }
      const [counted, { messages }] = await Promise.all([count(filter), listPage(firstPage)])
      return { ...counted, first: messages }
    },

    async begin({ request: asked, options = {}, by }) {
      const request: OperationRequest = { ...asked, changes: encode(options) }
      const counted = await count(request.filter)
      // What no index counts is counted once it runs.
      const matched = counted.isAtLeast ? null : counted.count
      const id = randomBytes(9).toString('base64url')
      const { action } = request
      const target = describeFilter(request.filter)
      const cursor = firstCursor(shards())
      const startedAt = await scripts.begin({
        ...{ id, owner, leaseMs: LEASE_MS, mostRunning: MOST_RUNNING, kept: MOST_KEPT },
        fields: {
          ...{ action, target, startedBy: by ?? '', matched: matched ?? '', ...NOTHING_DONE },
          ...{ request: JSON.stringify(request), cursor: JSON.stringify(cursor) },
        },
      })
      if (startedAt === undefined) {
        throw new SchedulerError('LIMIT_REACHED', `${MOST_RUNNING} operations are running`)
      }
      const progress: Progress = { matched, ...NOTHING_DONE }
      runner.run({ id, startedAt, startedBy: by, request, progress, cursor })
      const operation: StoredOperation = {
        ...{ id, action, target, state: 'running', startedBy: by, startedAt, finishedAt: null, reason: '' },
        ...progress,
      }
      onChange(operation)
      return operation
    },

    list: () => scripts.operations(),
    find,

    async stop(id) {
      const word = await scripts.stop(id, KEPT_MS)
      const operation = await find(id)
      if (word === 'stopped') {
        metrics.operationEnded(operation.action, 'stopped')
        onChange(operation)
      }
      return operation
    },
  }
}
