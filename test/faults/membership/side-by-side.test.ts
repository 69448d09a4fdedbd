import { expect, it, onTestFinished } from 'vitest'
import { repeated, startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { slowestOf } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const MESSAGES = 300
const EVERY_MS = 10

/** Script calls so far. */
async function calls(redis: Awaited<ReturnType<typeof startRedis>>): Promise<number> {
  const [, count] = /cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info('commandstats')) ?? []
  return Number(count)
}

it('four servers ask Redis for hardly more than one does, and another claims soon when one is killed', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const fleet = await startFleet({ size: 4, redisUrl: redis.url })
  const { servers } = fleet
  await until('each knows of the others', async () => {
    const stats = await servers[0]?.call<{ servers: unknown[] }>('GET', '/v1/stats')
    return stats?.body.servers.length === 4
  })
  // And has looked at them since: they look at every beat.
  await new Promise((resolve) => setTimeout(resolve, 3_000))

  // Further apart than it takes to be told of one: who is on duty is not to be late, as others would help.
  const slowest = await slowestOf(() => (servers[0] as Service).get('/health'), 10)
  const everyMs = Math.max(EVERY_MS, Math.min(50, Math.ceil(2 * slowest)))
  const first = Date.now() + 1_000 + 20 * Math.ceil(slowest)
  const ids = await fleet.schedule(MESSAGES, (i) => first + i * everyMs)
  const before = await calls(redis)
  await fleet.untilDelivered(ids)
  const used = (await calls(redis)) - before
  // A claim and an acknowledgement each; with a claim by each server it would be five.
  expect(used / MESSAGES).toBeLessThan(3)
  expect(repeated(fleet.delivered())).toEqual({})

  const onDuty = servers.toSorted((a, b) => b.delivered.length - a.delivered.length)[0]
  const later = await fleet.schedule(100, (i) => Date.now() + 500 + i * EVERY_MS, { prefix: 'later' })
  await onDuty?.end('SIGKILL')
  await fleet.untilDelivered(
    later.filter((id) => !onDuty?.delivered.some(({ messageId }) => messageId === id)),
  )
  const lates = fleet
    .delivered()
    .flatMap(({ messageId, lateMs }) => (messageId.startsWith('later') ? [lateMs] : []))
  expect(Math.max(...lates)).toBeLessThan(2_000 + 10 * slowest)
})
