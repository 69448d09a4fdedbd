import { pino } from 'pino'
import { expect, it } from 'vitest'
import { createClaimErrorLog } from '../../../src/worker/claim-error-log.ts'
import { until } from '../../support/until.ts'

it('is told in one line for all shards that fail together, and in one for all that work again', async () => {
  const lines: { msg: string; shards: number[] }[] = []
  const logger = pino({}, { write: (text: string) => void lines.push(JSON.parse(text)) })
  const trouble = createClaimErrorLog(logger)
  for (const shard of [1, 4, 1, 7]) trouble.failed(shard, new Error('gone'))
  trouble.recovered(2)
  await until('the failure is told', () => lines.length > 0)
  for (const shard of [4, 1, 7]) {
    trouble.failed(shard, new Error('still gone'))
    trouble.recovered(shard)
    trouble.recovered(shard)
  }
  await until('the recovery is told', () => lines.length > 1)
  expect(lines).toMatchObject([
    { msg: 'claims fail; retrying', shards: [1, 4, 7], err: { message: 'gone' } },
    { msg: 'claims succeed again', shards: [4, 1, 7] },
  ])
})
