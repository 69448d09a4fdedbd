import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import type { Draft } from '../../../src/messages/draft.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { commitTo, draft } from '../../support/committing.ts'
import { useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'

const world = useScripts(() => inject('redisUrl'))

describe('group commit', () => {
  it('answers each request with an id of its own, under which the message lies', async () => {
    const w = world()
    const commit = commitTo(w.scripts)
    const dueAt = (await w.now()) + 60_000
    const stored = await Promise.all(Array.from({ length: 2_500 }, () => commit.add(draft(dueAt))))
    const ids = stored.map(({ id }) => id)
    expect(new Set(ids).size).toBe(2_500)
    expect(new Set(await w.client.hkeys(w.keys.messages))).toEqual(new Set(ids))
  })

  it("puts a turn's messages into one shard with one call, and those of clients with one call a shard", async () => {
    const w = world()
    const SHARDS = 4
    const calls: { shard: number; ids: string[] }[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      schedule(shard, entries, call) {
        calls.push({ shard, ids: entries.map(({ id }) => id) })
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    const own = (i: number): Draft => {
      const id = `client-${i}`
      const validUntil = Number.MAX_SAFE_INTEGER
      const body = encodeRecordBody('"x"', {}, 'fingerprint')
      return { ...draft(dueAt), own: { id, shard: shardOfClientId(id, SHARDS), validUntil }, body }
    }
    const shards: (number | undefined)[] = []
    for (let turn = 0; turn < 2 * SHARDS; turn += 1) {
      calls.length = 0
      await Promise.all(Array.from({ length: 300 }, () => commit.add(draft(dueAt))))
      expect(calls).toHaveLength(1)
      expect(calls[0]?.ids).toHaveLength(300)
      shards.push(calls[0]?.shard)
    }
    // In turn, so that all get as much.
    for (let i = 0; i < SHARDS; i += 1) expect(new Set(shards.slice(i, i + SHARDS)).size).toBe(SHARDS)

    calls.length = 0
    await Promise.all([
      ...Array.from({ length: 100 }, (_, i) => commit.add(own(i))),
      ...Array.from({ length: 100 }, () => commit.add(draft(dueAt))),
    ])
    expect(calls.map(({ shard }) => shard).sort()).toEqual([0, 1, 2, 3])
    for (const { shard, ids } of calls) {
      for (const id of ids.filter((each) => each.startsWith('client-')))
        expect(shardOfClientId(id, SHARDS)).toBe(shard)
    }
    expect(calls.flatMap(({ ids }) => ids)).toHaveLength(200)
  })

  it('spreads them over more shards as soon as there are', async () => {
    const w = world()
    let writable = 1
    const seen = new Set<number>()
    const scripts: Pick<Scripts, 'schedule'> = {
      schedule(shard, entries, call) {
        seen.add(shard)
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const commit = commitTo(scripts, undefined, () => writable)
    const dueAt = (await w.now()) + 60_000
    for (let i = 0; i < 3; i += 1) await commit.add(draft(dueAt))
    expect([...seen]).toEqual([0])
    writable = 3
    for (let i = 0; i < 3; i += 1) await commit.add(draft(dueAt))
    expect([...seen].sort()).toEqual([0, 1, 2])
  })

  it('tells of a message that became the next one', async () => {
    const w = world()
    const heads: number[] = []
    const commit = commitTo(w.scripts, (_shard, inMs) => heads.push(inMs))
    await commit.add(draft((await w.now()) + 60_000))
    await commit.add(draft((await w.now()) + 90_000))
    expect(heads).toHaveLength(1)
    expect(heads[0]).toBeGreaterThan(50_000)
  })

  it('refuses only the one whose time has come', async () => {
    const w = world()
    const commit = commitTo(w.scripts)
    const now = await w.now()
    const [good, bad] = await Promise.allSettled([
      commit.add(draft(now + 60_000)),
      commit.add(draft(now - 1)),
    ])
    expect(good.status).toBe('fulfilled')
    expect(bad).toMatchObject({ reason: { code: 'DUE_TIME_PASSED' } })
  })

  it('stores many of one turn although all together take Redis longer than one may wait', async () => {
    const w = world()
    let calls = Promise.resolve()
    const scripts: Pick<Scripts, 'schedule'> = {
      schedule(...args) {
        // One after the other, as Redis runs them.
        const call = calls.then(async () => {
          await delay(200)
          return w.scripts.schedule(...args)
        })
        calls = call.then(() => undefined)
        return call
      },
    }
    const commit = commitTo(scripts)
    const dueAt = (await w.now()) + 60_000
    const stored = await Promise.all(Array.from({ length: 10_000 }, () => commit.add(draft(dueAt))))
    expect(new Set(await w.client.hkeys(w.keys.messages))).toEqual(new Set(stored.map(({ id }) => id)))
  })

  it('gives an answer within two seconds when none comes', async () => {
    const silent: Pick<Scripts, 'schedule'> = { schedule: () => new Promise(() => undefined) }
    const from = performance.now()
    await expect(commitTo(silent).add(draft(Date.now() + 60_000))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    expect(machineMs(from)).toBeLessThan(2_000)
  })
})
