import { expect, inject, it, onTestFinished } from 'vitest'
import { withTimeout } from '../../../src/runtime/time-limit.ts'
import { connect } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'

it('an answer that came in time counts, though this process was too busy to read it', async () => {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(10_000)
  const ask = () => connection.client.exists('a key of nobody')
  await ask() // The client of a cluster connects to a node when it first asks it.
  const answer = withTimeout(ask(), 20)
  await new Promise(setImmediate) // it is sent
  const until = performance.now() + 500
  while (performance.now() < until);
  expect(await answer).toBe(0)
})

it('the time may grow while a call goes on, and ends it when it is up', async () => {
  const startedAt = performance.now()
  let endsAt = startedAt + 30
  const never = withTimeout(new Promise(() => undefined), () => endsAt - performance.now())
  setTimeout(() => {
    endsAt = startedAt + 100
  }, 10)
  await expect(never).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    outcomeUnknown: true,
    timedOut: true,
  })
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(99)
})
