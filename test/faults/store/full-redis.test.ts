import { describe, expect, it, onTestFinished } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { connect } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import { claimAll, WIDE } from '../../support/claim-all.ts'
import { freshCall } from '../../support/fresh-call.ts'
import { startRedis } from '../../support/redis.ts'
import { delivered, mainRoom, SETTINGS } from '../../support/retention.ts'
import { FIRST_PAGE } from '../../support/values.ts'

/** A Redis of the test's own, and scripts on a connection to it. Both end with the test. */
async function openRedis(clockOffsetMs = () => 0) {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const connection = connect(parseRedisUrl(redis.url))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const scripts = createScripts(connection.client, { namespace: 'carillon', ...SETTINGS, clockOffsetMs })
  return { redis, scripts }
}

describe('a full Redis', () => {
  it('takes no more messages but can still be emptied', async () => {
    const { redis, scripts } = await openRedis()
    const entry = (id: string) => ({ id, due: { at: 1 }, rule: 'any' as const, body: '\n"x"' })
    await scripts.schedule(0, [entry('a'), entry('b')], freshCall())
    await redis.client.config('SET', 'maxmemory', '1')

    await expect(scripts.schedule(0, [entry('c')], freshCall())).rejects.toMatchObject({
      code: 'STORE_FULL',
    })
    const { claims } = await claimAll(scripts, 0, { token: 't', lockMs: 10_000, room: mainRoom(10) })
    expect(claims.map(({ id }) => id)).toEqual(['a', 'b'])
    const { words } = await scripts.release(0, [{ id: 'b', token: 't', why: 'returned', dueAt: 1 }])
    expect(words).toEqual(['released'])
    expect(await scripts.acknowledge(0, delivered('t', 'a'))).toEqual([])
    expect(await redis.client.hkeys('{carillon:0}:messages')).toEqual(['b'])
  })
})

describe('a full Redis with messages for others', () => {
  it('lets every claim end, whatever its end', async () => {
    let offset = 0
    const { redis, scripts } = await openRedis(() => offset)
    const entries = ['retried', 'rejected', 'returned', 'delivered', 'extended', 'moved', 'late', 'far'].map(
      (id) => ({
        ...{ id, due: { at: id === 'far' ? 1e13 : 1 }, rule: 'any' as const },
        body: encodeRecordBody('"x"', {
          tags: ['t'],
          destination:
            id === 'moved' ? { type: 'stream', name: 's' } : { type: 'webhook', url: 'http://a.test/' },
          ...(id === 'late' ? { notAfter: 1, onLate: 'dead-letter' } : {}),
        }),
      }),
    )
    await scripts.schedule(0, entries, freshCall())
    await redis.client.config('SET', 'maxmemory', '1')

    const claimed = await claimAll(scripts, 0, { token: 't', lockMs: 10_000, room: WIDE })
    expect(claimed).toMatchObject({ moved: [expect.any(Number)], died: 1 })
    expect(claimed.claims).toHaveLength(5)
    const said = { token: 't', reason: 'r', report: '{}' }
    const { words } = await scripts.release(0, [
      { ...said, id: 'retried', why: 'failed', retryAfterMs: 0 },
      { ...said, id: 'rejected', why: 'rejected' },
      { id: 'returned', token: 't', why: 'returned', dueAt: 1 },
    ])
    expect(words).toEqual(['released', 'dead', 'released'])
    const held = [{ id: 'extended', token: 't' }]
    expect(await scripts.extend(0, { held, lockMs: 20_000 })).toEqual([])
    expect(await scripts.acknowledge(0, delivered('t', 'delivered'))).toEqual([])
    expect(
      await scripts.cancel(0, { ids: ['far', 'rejected'], ifMatch: '', states: ['scheduled', 'dead'] }),
    ).toEqual(['cancelled', 'cancelled'])
    offset = 60_000
    const again = await claimAll(scripts, 0, { token: 'u', lockMs: 10_000, room: WIDE })
    expect(again).toMatchObject({ recovered: 1, claims: { length: 3 } })
    // What would add to what is due has to wait.
    const args = { ids: ['late'], from: null, everyMs: 0, before: 0 }
    await expect(scripts.redrive(0, args)).rejects.toMatchObject({ code: 'STORE_FULL' })
  })
})

describe('a page of large messages', () => {
  it('reads no more of them than it answers, but for one', async () => {
    const { redis, scripts } = await openRedis()
    const body = `\n"${'x'.repeat(900_000)}"`
    const entries = Array.from({ length: 12 }, (_, i) => ({
      id: `m${i}`,
      due: { at: i },
      rule: 'any' as const,
      body,
    }))
    await scripts.schedule(0, entries, freshCall())
    await redis.client.config('RESETSTAT')
    const { rows, end } = await scripts.list(0, { ...FIRST_PAGE, bytes: 2_000_000 })
    expect(rows.map(({ id }) => id)).toEqual(['m0', 'm1'])
    expect(end).toEqual({ score: '1', id: 'm1' })
    const read = /cmdstat_hget:calls=(\d+)/.exec(await redis.client.info('commandstats'))
    expect(Number(read?.[1])).toBe(3)
  })
})

describe('a Redis that is away', () => {
  it('fails every call at once, in words a caller can act on', async () => {
    const { redis, scripts } = await openRedis()
    await redis.stop()
    const failure = await scripts.acknowledge(0, delivered('t', 'a')).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(SchedulerError)
    expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})
