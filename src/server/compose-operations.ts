import type { RecordForm } from '../domain/message.ts'
import type { EventData } from '../events/sink.ts'
import { type ActLog, createActLog } from '../operations/act-log.ts'
import { createOperations, type Operations, type OperationsDeps } from '../operations/operations.ts'
import {
  createOperationRunner,
  type OperationRunner,
  type OperationRunnerDeps,
} from '../operations/runner.ts'
import { createTakeStep, type StepDeps } from '../operations/steps.ts'
import { encodeOptions } from '../records/record.ts'
import type { Parts } from './parts.ts'

interface OperationParts
  extends Parts,
    Pick<OperationRunnerDeps, 'matches'>,
    Pick<OperationsDeps, 'count' | 'listPage'>,
    Pick<StepDeps, 'onNextDue'> {
  /** in which form records are written just now */
  readonly recordForm: () => RecordForm
}

/** What acts on many messages in the background, and the log of who did what. */
export function composeOperations(parts: OperationParts): {
  readonly operations: Operations
  readonly runner: OperationRunner
  readonly actLog: ActLog
} {
  const { scripts, logger, recordForm, serverId: owner, clock, shardMap, events } = parts
  const tell = (id: string, about: EventData) => {
    if (events.isListening) events.emit('operation', { operation: id, ...about })
  }
  const runner = createOperationRunner({
    ...{ ...parts, owner },
    takeStep: createTakeStep({ ...parts, now: clock.now }),
    onEnded({ id, request: { action }, progress }, state, reason) {
      const { matched, done, failed } = progress
      tell(id, { action, state, matched, done, failed })
      const fields = { operation: id, action, ...progress }
      if (state === 'failed') logger.error({ ...fields, reason }, 'operation failed')
      else logger.info(fields, 'operation done')
    },
  })
  const operations = createOperations({
    ...{ ...parts, runner, owner },
    shards: () => shardMap.all,
    encode: (options) => encodeOptions(options, recordForm()),
    onChange({ id, action, target, state, matched, done, failed }) {
      tell(id, { action, target, state, matched, done, failed })
      const fields = { operation: id, action, target }
      logger.info(fields, state === 'running' ? 'operation started' : 'operation stopped')
    },
  })
  return { operations, runner, actLog: createActLog(scripts, owner) }
}
