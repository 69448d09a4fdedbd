import { randomUUID } from 'node:crypto'
import { inject } from 'vitest'
import type { Draft } from '../../src/messages/draft.ts'
import { createGroupCommit } from '../../src/messages/group-commit.ts'
import { encodeRecordBody } from '../../src/records/record.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'
import type { Scripts } from '../../src/store/scripts/scripts.ts'
import { noteMetrics } from './noted-metrics.ts'
import { useScripts } from './script-world.ts'
import { UNTOLD } from './untold.ts'

const world = useScripts(() => inject('redisUrl'))

export const draft = (dueAt: number): Draft => ({
  due: { at: dueAt },
  future: true,
  body: encodeRecordBody('"x"'),
})

export const commitTo = (
  scripts: Pick<Scripts, 'schedule'>,
  onNextDue: (shard: number, inMs: number) => void = () => undefined,
  shards: number | (() => number) = 1,
  probe: (shard: number) => Promise<unknown> = (shard) => world().scripts.streams(shard),
) =>
  createGroupCommit({
    ...{ scripts, clock: createRedisClock(), onNextDue, probe, nextToken: randomUUID },
    shards: typeof shards === 'number' ? () => shards : shards,
    metrics: noteMetrics().metrics,
    events: UNTOLD.events,
  })
