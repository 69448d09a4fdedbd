import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import type { Draft } from '../../../src/messages/draft.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { commitTo, draft } from '../../support/committing.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

/**
 * The real script, which does not answer as it should in shard 1: the call never ran, or did without anybody knowing.
 */
function failingInShard1(w: ScriptWorld, outcomeUnknown: boolean) {
  const calls: { shard: number; ids: string[] }[] = []
  const scripts: Pick<Scripts, 'schedule'> = {
    async schedule(shard, entries, call) {
      calls.push({ shard, ids: entries.map(({ id }) => id) })
      const reply =
        shard === 1 && !outcomeUnknown ? undefined : await w.scripts.schedule(shard, entries, call)
      if (shard !== 1 && reply !== undefined) return reply
      throw new SchedulerError('STORE_UNAVAILABLE', 'shard 1 does not answer', { outcomeUnknown })
    },
  }
  return { calls, scripts }
}

const SHARDS = 3

const storedIds = async (w: ScriptWorld) => {
  const all = Array.from({ length: SHARDS }, (_, shard) =>
    w.client.hkeys(keysOf(shard, w.namespace).messages),
  )
  return (await Promise.all(all)).flat()
}

/** Commits one after the other, so that each gets a turn of its own. */
async function commitInTurns(commit: ReturnType<typeof commitTo>, count: number, dueAt: number) {
  const ids: string[] = []
  for (let i = 0; i < count; i += 1) {
    await commit.add(draft(dueAt)).then(
      ({ id }) => ids.push(id),
      () => undefined,
    )
  }
  return ids
}

describe('group commit, where one of several shards fails', () => {
  it('stores elsewhere, under a new id, what certainly was not stored, and leaves that shard alone', async () => {
    const w = world()
    const { calls, scripts } = failingInShard1(w, false)
    const commit = commitTo(scripts, undefined, SHARDS)
    const ids = await commitInTurns(commit, 9, (await w.now()) + 60_000)
    expect(ids).toHaveLength(9)
    expect((await storedIds(w)).sort()).toEqual([...ids].sort())
    expect(ids.every((id) => /^~[02]/.test(id))).toBe(true)
    expect(calls.filter(({ shard }) => shard === 1)).toHaveLength(1)
  })

  it('repeats only there, under the same id, what perhaps was stored', async () => {
    const w = world()
    const { calls, scripts } = failingInShard1(w, true)
    const commit = commitTo(scripts, undefined, SHARDS)
    const accepted = await commitInTurns(commit, 3, (await w.now()) + 60_000)
    expect(accepted).toHaveLength(2)
    const inShard1 = calls.filter(({ shard }) => shard === 1)
    expect(inShard1.length).toBeGreaterThan(1)
    expect(new Set(inShard1.flatMap(({ ids }) => ids)).size).toBe(1)
    // The one that was answered 503 lies there once, and nowhere else.
    expect(await storedIds(w)).toHaveLength(3)
  })

  it('keeps an id of the client in its shard, and answers 503 for it alone', async () => {
    const w = world()
    let down = -1
    const calls: { shard: number; ids: string[] }[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries, call) {
        calls.push({ shard, ids: entries.map(({ id }) => id) })
        if (shard === down) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    await commit.add(draft(dueAt))
    // The next turn's own shard, and that of the client's id: both share a call.
    down = ((calls[0]?.shard ?? 0) + 1) % SHARDS
    const id = [...'abcdefgh'].find((name) => shardOfClientId(name, SHARDS) === down) ?? ''
    const body = encodeRecordBody('"x"', {}, 'print')
    const ofClient: Draft = { ...draft(dueAt), own: { id, shard: down, validUntil: dueAt }, body }
    const [bound, free] = await Promise.allSettled([commit.add(ofClient), commit.add(draft(dueAt))])
    expect(bound).toMatchObject({ reason: { code: 'STORE_UNAVAILABLE' } })
    expect(free.status).toBe('fulfilled')
    expect(calls[1]?.ids).toHaveLength(2)
    expect(calls.filter(({ shard, ids }) => shard !== down && ids.includes(id))).toEqual([])
    expect(await storedIds(w)).toHaveLength(2)
  })

  it('gives the shard batches again once it works', async () => {
    const w = world()
    let isDown = true
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries, call) {
        if (shard === 1 && isDown) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    await commitInTurns(commit, 3, dueAt)
    isDown = false
    await until('it is given one', async () => /^~1/.test((await commit.add(draft(dueAt))).id))
  })

  it('has probes find out which others share its fate', async () => {
    const w = world()
    const isDown = (shard: number) => shard > 0
    const tried: number[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries, call) {
        tried.push(shard)
        if (isDown(shard)) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const probe = async (shard: number) => {
      if (isDown(shard)) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
    }
    const MANY = 8
    const commit = commitTo(scripts, undefined, MANY, probe)
    const dueAt = (await w.now()) + 60_000
    await commitInTurns(commit, MANY, dueAt)
    tried.length = 0
    await commitInTurns(commit, 2 * MANY, dueAt)
    expect(new Set(tried)).toEqual(new Set([0]))
  })

  it('has a probe find out whether it works again, and no message', async () => {
    const w = world()
    let isDown = true
    let triedInShard1 = 0
    let probes = 0
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries, call) {
        if (shard === 1) triedInShard1 += 1
        if (shard === 1 && isDown) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const probe = async (shard: number) => {
      if (shard !== 1) return
      probes += 1
      if (isDown) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
    }
    const commit = commitTo(scripts, undefined, SHARDS, probe)
    const dueAt = (await w.now()) + 60_000
    await until('it was probed twice', async () => {
      await commit.add(draft(dueAt))
      return probes >= 2
    })
    expect(triedInShard1).toBe(1)
    isDown = false
    await until('it is given one', async () => /^~1/.test((await commit.add(draft(dueAt))).id))
    expect(triedInShard1).toBe(2)
  })
})
