import { describe, expect, inject, it } from 'vitest'
import { serversKeyOf, shardCountsKeyOf } from '../../../src/store/keys.ts'
import { createRaiseShards, RAISE_DELAY_MS } from '../../../src/store/scripts/shard-counts.ts'
import { claim, deliver, fail, put, reject, reschedule } from '../../support/acts.ts'
import { checkKeys } from '../../support/invariants.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { HOUR_MS, webhook } from '../../support/values.ts'

const LOCK_MS = 30_000
/** How much longer than its lock a claim may last once the clock was set back, and then some for a slow machine. */
const LONGER_MS = 10_000

/** When the claims end, ms from now. */
async function endsIn(w: ScriptWorld): Promise<Map<string, number>> {
  const flat = await w.client.zrange(w.keys.claimed, '0', '-1', 'WITHSCORES')
  const now = await w.now()
  return new Map(flat.flatMap((id, i) => (i % 2 === 0 ? [[id, Number(flat[i + 1]) - now]] : [])))
}

describe('when the clock of Redis is set back', () => {
  const world = useScripts(() => inject('redisUrl'))

  it('claims end when they would have, and not before, whatever the length of their locks', async () => {
    const w = world()
    await put(w, 'short')
    await claim(w, {}, LOCK_MS)
    await put(w, 'long')
    await claim(w, {}, 12 * HOUR_MS)
    w.pass(-HOUR_MS)
    expect((await claim(w)).recovered).toBe(0)
    const ends = await endsIn(w)
    for (const [id, lockMs] of [
      ['short', LOCK_MS],
      ['long', 12 * HOUR_MS],
    ] as const) {
      expect(ends.get(id)).toBeGreaterThan(lockMs - LONGER_MS)
      expect(ends.get(id)).toBeLessThan(lockMs + LONGER_MS)
    }
    await checkKeys(w)
    w.pass(LOCK_MS + LONGER_MS)
    expect((await claim(w)).recovered).toBe(1)
    expect((await claim(w)).recovered).toBe(0)
    await checkKeys(w)
  })

  it('locks last no shorter for a step of less than their lifetime', async () => {
    const w = world()
    await put(w, 'a')
    await claim(w, {}, LOCK_MS)
    w.pass(-5_000)
    await claim(w)
    w.pass(LOCK_MS - LONGER_MS)
    expect((await claim(w)).recovered).toBe(0)
    w.pass(2 * LONGER_MS)
    expect((await claim(w)).recovered).toBe(1)
  })

  it('a claim that is extended lasts from then on, and others are set right by that', async () => {
    const w = world()
    await put(w, 'held')
    await put(w, 'left')
    const { token } = await claim(w, {}, LOCK_MS)
    w.pass(-HOUR_MS)
    const extend = () => w.scripts.extend(w.shard, { held: [{ id: 'held', token }], lockMs: 2 * LOCK_MS })
    expect(await extend()).toEqual([])
    const ends = await endsIn(w)
    expect(ends.get('left')).toBeLessThan(LOCK_MS + LONGER_MS)
    expect(ends.get('held')).toBeGreaterThan(2 * LOCK_MS - LONGER_MS)
    // What is set right is not set once more.
    await claim(w)
    expect((await endsIn(w)).get('held')).toBeGreaterThan(2 * LOCK_MS - LONGER_MS)
    w.pass(LOCK_MS + LONGER_MS)
    expect((await claim(w)).recovered).toBe(1)
    expect(await w.lockOf('held')).toBe(token)
  })

  it('a lock that ends by Redis itself ends with its claim', async () => {
    const w = world()
    await put(w, 'a')
    await claim(w, {}, LOCK_MS)
    await w.client.pexpire(`${w.keys.lockPrefix}a`, HOUR_MS + LOCK_MS)
    w.pass(-HOUR_MS)
    await claim(w)
    expect(await w.client.pttl(`${w.keys.lockPrefix}a`)).toBeLessThan(LOCK_MS + LONGER_MS)
  })

  it('what ends from then on is kept rather than what had ended before', async () => {
    const w = world()
    await put(w, 'dead before')
    await reject(w)
    await put(w, 'delivered before')
    await deliver(w)
    await put(w, 'dropped before', { options: { notAfter: 1, onLate: 'drop' } })
    await claim(w)
    await put(w, 'waiting')
    await claim(w)
    w.pass(-HOUR_MS)
    await claim(w)
    const now = await w.now()
    for (const id of ['dead before', 'delivered before', 'dropped before']) {
      const [found] = await w.scripts.find(w.shard, [id])
      expect(found?.score).toBeLessThanOrEqual(now)
    }
    await put(w, 'dead after')
    await reject(w)
    expect(await w.client.zrange(w.keys.dead, '0', '-1')).toEqual(['dead before', 'dead after'])
    await checkKeys(w)
  })

  it('what waits for a retry waits no longer than it would have, and not less', async () => {
    const w = world()
    await put(w, 'retry', { options: { tags: ['t'] } })
    await put(w, 'hook', { options: { destination: webhook('http://one.test') } })
    await fail(w, 60_000)
    const due = { at: (await w.now()) + 2 * HOUR_MS }
    await put(w, 'put off')
    await fail(w, 60_000)
    await reschedule(w, 'put off', { due })
    await put(w, 'held')
    const { token } = await claim(w, {}, LOCK_MS)
    w.pass(-HOUR_MS)
    await w.scripts.extend(w.shard, { held: [{ id: 'held', token }], lockMs: LOCK_MS })
    expect((await claim(w)).ids).toEqual([])
    const now = await w.now()
    for (const id of ['retry', 'hook']) {
      const [found] = await w.scripts.find(w.shard, [id])
      expect(found?.score).toBeGreaterThan(now + 60_000 - LONGER_MS)
      expect(found?.score).toBeLessThan(now + 60_000 + LONGER_MS)
    }
    expect((await w.scripts.find(w.shard, ['put off']))[0]?.score).toBe(due.at)
    await checkKeys(w)
  })

  it('nothing is written for it where there were no claims', async () => {
    const w = world()
    await put(w, 'later', { due: { inMs: HOUR_MS } })
    await claim(w)
    expect(await w.client.get(w.keys.clock)).toBeNull()
    await put(w, 'now')
    await fail(w, HOUR_MS)
    w.pass(-HOUR_MS)
    await claim(w)
    expect(Number(await w.client.get(w.keys.clock))).toBeLessThanOrEqual(await w.now())
  })

  it('a server that died before is forgotten as soon as any other, and one that lives stays', async () => {
    const w = world()
    const beat = (id: string) => w.scripts.heartbeat({ id, description: '{}' }, true)
    await beat('dead')
    await beat('alive')
    w.pass(-HOUR_MS)
    expect([...(await beat('alive')).alive.keys()].sort()).toEqual(['alive', 'dead'])
    w.pass(5_000)
    await beat('alive')
    w.pass(5_000)
    expect([...(await beat('alive')).alive.keys()]).toEqual(['alive'])
    expect(Object.keys(await w.client.hgetall(serversKeyOf(w.namespace)))).toEqual(['alive'])
  })

  it('a raised number of shards is used as soon as if it were raised now', async () => {
    const w = world()
    const raise = createRaiseShards(w.client, { namespace: w.namespace, clockOffsetMs: w.clockOffsetMs })
    await raise(1)
    await raise(2)
    w.pass(-HOUR_MS)
    const { now, counts } = await raise(2)
    expect(counts).toEqual([
      { count: 1, from: 0 },
      { count: 2, from: now + RAISE_DELAY_MS },
    ])
    expect((await raise(2)).counts).toEqual(counts)
    expect(await w.client.get(shardCountsKeyOf(w.namespace))).toBe(`1,2@${now + RAISE_DELAY_MS}`)
  })
})
