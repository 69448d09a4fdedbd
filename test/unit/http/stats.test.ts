import { expect, it } from 'vitest'
import { httpApp } from '../../support/http-app.ts'

it('GET /v1/stats lists every stream with its keys, one a shard', async () => {
  const streams = [
    { name: 'invoices', keys: ['{carillon:0}:stream:invoices', '{carillon:1}:stream:invoices'] },
    { name: 'mails', keys: ['{carillon:0}:stream:mails', '{carillon:1}:stream:mails'] },
  ]
  const app = await httpApp({
    totals: async () => ({
      scheduled: 0,
      claimed: 0,
      dead: 0,
      stranded: 0,
      paused: 0,
      oldestOverdueMs: 0,
      oldestLateMs: 0,
    }),
    servers: async () => [],
    redisFacts: async () => ({ version: '8.0.2', usedMemoryBytes: 1, maxMemoryBytes: 0 }),
    shards: () => 2,
    streams: async () => streams,
  })
  expect((await app.inject('/v1/stats')).json()).toMatchObject({ shards: 2, streams })
  await app.close()
})
