import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../src/errors.ts'
import { encodeRecordBody } from '../../src/message.ts'
import { shardOfClientId } from '../../src/message-id.ts'
import { keysOf } from '../../src/redis/keys.ts'
import { createRedisClock } from '../../src/redis/redis-clock.ts'
import type { Scripts } from '../../src/redis/scripts.ts'
import { createGroupCommit, type Draft } from '../../src/schedule/group-commit.ts'
import { noteMetrics } from '../claim/noted-metrics.ts'
import { delivered, mainRoom } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { machineMs } from '../support/speed.ts'
import { until } from '../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

const draft = (dueAt: number): Draft => ({ due: { at: dueAt }, future: true, body: encodeRecordBody('"x"') })
const commitTo = (
  scripts: Pick<Scripts, 'schedule'>,
  onHead: (shard: number, inMs: number) => void = () => undefined,
  shards = 1,
) =>
  createGroupCommit({
    ...{ scripts, clock: createRedisClock(), shards: () => shards, onHead },
    metrics: noteMetrics().metrics,
  })

/** The real script, whose reply to one of its calls is lost on the way back. */
function losingReply(w: ScriptWorld, lostCall: number): Pick<Scripts, 'schedule'> & { calls: number } {
  const lossy = {
    calls: 0,
    async schedule(...args: Parameters<Scripts['schedule']>) {
      lossy.calls += 1
      const isLost = lossy.calls === lostCall
      const reply = await w.scripts.schedule(...args)
      if (isLost)
        throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { perhapsDone: true })
      return reply
    },
  }
  return lossy
}

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
      schedule(shard, entries) {
        calls.push({ shard, ids: entries.map(({ id }) => id) })
        return w.scripts.schedule(shard, entries)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    const own = (i: number): Draft => {
      const id = `client-${i}`
      const closesAt = Number.MAX_SAFE_INTEGER
      const body = encodeRecordBody('"x"', {}, 'fingerprint')
      return { ...draft(dueAt), own: { id, shard: shardOfClientId(id, SHARDS), closesAt }, body }
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
      schedule(shard, entries) {
        seen.add(shard)
        return w.scripts.schedule(shard, entries)
      },
    }
    const commit = createGroupCommit({
      ...{ scripts, clock: createRedisClock(), shards: () => writable, onHead: () => undefined },
      metrics: noteMetrics().metrics,
    })
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

  it('stores a message once though the reply was lost and the call repeated', async () => {
    const w = world()
    const scripts = losingReply(w, 1)
    const { id } = await commitTo(scripts).add(draft((await w.now()) + 60_000))
    expect(scripts.calls).toBe(2)
    expect(await w.client.hkeys(w.keys.messages)).toEqual([id])
  })

  it('does not store again what came due and was delivered while the reply was lost', async () => {
    const w = world()
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(...args) {
        const reply = await w.scripts.schedule(...args)
        if (reply.words[0] !== 'scheduled') return reply
        w.pass(120_000)
        const { claims } = await w.scripts.claim(0, { token: 't', lockMs: 5_000, room: mainRoom(1) })
        await w.scripts.acknowledge(0, delivered('t', ...claims.map(({ id }) => id)))
        throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { perhapsDone: true })
      },
    }
    await expect(commitTo(scripts).add(draft((await w.now()) + 60_000))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
  })

  it.each([{ at: 1 }, { inMs: 0 }, { inMs: 1_000 }])(
    'nor what is due at %j, which needs not lie in the future',
    async (due) => {
      const w = world()
      const scripts: Pick<Scripts, 'schedule'> = {
        async schedule(...args) {
          const reply = await w.scripts.schedule(...args)
          if (reply.words[0] !== 'scheduled') return reply
          w.pass(2_000)
          const { claims } = await w.scripts.claim(0, { token: 't', lockMs: 5_000, room: mainRoom(1) })
          await w.scripts.acknowledge(0, delivered('t', ...claims.map(({ id }) => id)))
          throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { perhapsDone: true })
        },
      }
      const added = commitTo(scripts).add({ due, future: false, body: encodeRecordBody('"x"') })
      await expect(added).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      expect(await w.client.zcard(w.keys.scheduled)).toBe(0)
    },
  )

  it('makes a new id where another server has made the same one', async () => {
    const w = world()
    const taken: string[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries) {
        if (taken.length === 0) {
          taken.push(...entries.map(({ id }) => id))
          await w.scripts.schedule(
            shard,
            entries.map((entry) => ({ ...entry, body: '\n"theirs"' })),
          )
        }
        return w.scripts.schedule(shard, entries)
      },
    }
    const dueAt = (await w.now()) + 60_000
    const { id } = await commitTo(scripts).add(draft(dueAt))
    expect(taken).not.toContain(id)
    expect(await w.client.hget(w.keys.messages, id)).toBe(`${dueAt}\n"x"`)
    expect(await w.client.hget(w.keys.messages, taken[0] ?? '')).toBe(`${dueAt}\n"theirs"`)
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

/** The real script, which does not answer as it should in shard 1: the call never ran, or did without anybody knowing. */
function failingInShard1(w: ScriptWorld, perhapsDone: boolean) {
  const calls: { shard: number; ids: string[] }[] = []
  const scripts: Pick<Scripts, 'schedule'> = {
    async schedule(shard, entries) {
      calls.push({ shard, ids: entries.map(({ id }) => id) })
      const reply = shard === 1 && !perhapsDone ? undefined : await w.scripts.schedule(shard, entries)
      if (shard !== 1 && reply !== undefined) return reply
      throw new SchedulerError('STORE_UNAVAILABLE', 'shard 1 does not answer', { perhapsDone })
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
      async schedule(shard, entries) {
        calls.push({ shard, ids: entries.map(({ id }) => id) })
        if (shard === down) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    await commit.add(draft(dueAt))
    // The next turn's own shard, and that of the client's id: both share a call.
    down = ((calls[0]?.shard ?? 0) + 1) % SHARDS
    const id = [...'abcdefgh'].find((name) => shardOfClientId(name, SHARDS) === down) ?? ''
    const body = encodeRecordBody('"x"', {}, 'print')
    const ofClient: Draft = { ...draft(dueAt), own: { id, shard: down, closesAt: dueAt }, body }
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
      async schedule(shard, entries) {
        if (shard === 1 && isDown) throw new SchedulerError('STORE_UNAVAILABLE', 'down')
        return w.scripts.schedule(shard, entries)
      },
    }
    const commit = commitTo(scripts, undefined, SHARDS)
    const dueAt = (await w.now()) + 60_000
    await commitInTurns(commit, 3, dueAt)
    isDown = false
    await until('it is given one', async () => /^~1/.test((await commit.add(draft(dueAt))).id))
  })
})
