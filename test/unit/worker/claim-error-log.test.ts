import { pino } from 'pino'
import { expect, it } from 'vitest'
import { ClaimErrorLog } from '../../../src/worker/claim-error-log.ts'
import { until } from '../../support/until.ts'

it('is told in one line for all shards that fail together, and in one for all that work again', async () => {
  const lines: { msg: string; shards: number[] }[] = []
  const logger = pino({}, { write: (text: string) => void lines.push(JSON.parse(text)) })
  const errors = new ClaimErrorLog(logger)
  const console = errors.of('console')
  for (const shard of [1, 4, 1, 7]) console.failed(shard, new Error('gone'))
  console.recovered(2)
  await until('the failure is told', () => lines.length > 0)
  for (const shard of [4, 1, 7]) {
    console.failed(shard, new Error('still gone'))
    console.recovered(shard)
    console.recovered(shard)
  }
  await until('the recovery is told', () => lines.length > 1)
  expect(lines).toMatchObject([
    { msg: 'claims fail; retrying', shards: [1, 4, 7], err: { message: 'gone' } },
    { msg: 'claims succeed again', shards: [4, 1, 7] },
  ])
})

it('tells of a shard that fails for several claimers once, and of its recovery when it works for all', async () => {
  const lines: { msg: string; shards: number[] }[] = []
  const logger = pino({}, { write: (text: string) => void lines.push(JSON.parse(text)) })
  const errors = new ClaimErrorLog(logger)
  const [console, streams] = [errors.of('console'), errors.of('streams')]
  for (const claimer of [console, streams]) claimer.failed(3, new Error('gone'))
  await until('the failure is told', () => lines.length > 0)
  // It works for one of them only, over and over.
  for (let i = 0; i < 3; i += 1) {
    console.recovered(3)
    console.failed(3, new Error('gone'))
  }
  console.recovered(3)
  console.recovered(5)
  streams.recovered(3)
  await until('the recovery is told', () => lines.length > 1)
  expect(lines).toMatchObject([
    { msg: 'claims fail; retrying', shards: [3] },
    { msg: 'claims succeed again', shards: [3] },
  ])
})
