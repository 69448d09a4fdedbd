import { randomUUID } from 'node:crypto'
import { describe, expect, inject, it } from 'vitest'
import { createBulk } from '../../../src/messages/bulk.ts'
import { createGroupCommit } from '../../../src/messages/group-commit.ts'
import type { Scheduled } from '../../../src/messages/new-message.ts'
import { createScheduler } from '../../../src/messages/scheduler.ts'
import { createSelector } from '../../../src/messages/selector.ts'
import { createShardMap } from '../../../src/shards/shard-map.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { RAISE_DELAY_MS } from '../../../src/store/scripts/shard-counts.ts'
import { claimAll } from '../../support/claim-all.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { delivered, mainRoom, RETENTION } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { shardMapOf } from '../../support/shards.ts'
import { UNTOLD } from '../../support/untold.ts'

const world = useScripts(() => inject('redisUrl'))
const onNextDue = () => undefined
const IDS = Array.from({ length: 40 }, (_, i) => `message-${i}`)

/** A scheduler with so many shards, after others with fewer. */
function withShards(
  w: ScriptWorld,
  shards: number,
  before: readonly number[] = [],
  now: () => number = Date.now,
  shardMap = shardMapOf(shards, before),
) {
  const { scripts } = w
  const { metrics } = noteMetrics()
  const groupCommit = createGroupCommit({
    ...{ scripts, clock: createRedisClock(), shards: () => shardMap.writable, onNextDue, metrics },
    events: UNTOLD.events,
    ...{ probe: scripts.streams, nextToken: randomUUID },
  })
  const { dedupWindowMs } = RETENTION
  const deps = {
    groupCommit,
    scripts,
    shardMap,
    onNextDue,
    metrics,
    dedupWindowMs,
    now,
    recordForm: () => 2 as const,
  }
  return {
    scheduler: createScheduler(deps),
    bulk: createBulk({
      scripts,
      selector: createSelector(scripts, shardMap),
      metrics,
      onNextDue,
    }),
  }
}

const ANYONE = { ifMatch: '', by: null }

describe('adding shards', () => {
  const message = (id: string) => ({ id, due: { inMs: 3_600_000 }, payload: JSON.stringify(id) })

  it('stores nothing under an id whose record in an older shard cannot be read', async () => {
    const w = world()
    const few = withShards(w, 1).scheduler
    const { messages } = keysOf(0, w.namespace)
    await Promise.all(IDS.slice(1).map((id) => few.schedule(message(id))))
    for (const id of IDS) await w.client.hset(messages, id, 'garbage')
    const { scheduler } = withShards(w, 7, [1])
    for (const id of IDS) {
      await expect(scheduler.schedule(message(id))).rejects.toMatchObject({ code: 'ID_CONFLICT' })
      expect(await scheduler.find(id)).toMatchObject({ id, raw: 'garbage' })
      await scheduler.cancel(id, ANYONE)
      expect(await scheduler.schedule(message(id))).toMatchObject({ duplicate: false })
    }
    expect(await w.client.exists(messages)).toBe(1) // what belongs into the first of seven
  })

  it('neither loses nor doubles a message whose id its client gave', async () => {
    const w = world()
    const few = withShards(w, 1).scheduler
    await Promise.all(IDS.map((id) => few.schedule(message(id))))
    const { scheduler } = withShards(w, 7, [1])
    for (const id of IDS) {
      expect(await scheduler.schedule(message(id))).toMatchObject({ duplicate: true })
      await expect(scheduler.schedule({ ...message(id), payload: '"other"' })).rejects.toMatchObject({
        code: 'ID_CONFLICT',
      })
      expect(await scheduler.find(id)).toMatchObject({ id, version: 1 })
      expect(await scheduler.reschedule(id, { payload: '2', options: {} }, ANYONE)).toMatchObject({
        version: 2,
      })
    }
    expect(await w.client.hlen(w.keys.messages)).toBe(IDS.length)
    for (const id of IDS) await scheduler.cancel(id, ANYONE)
    expect(await w.client.hlen(w.keys.messages)).toBe(0)
    for (const id of IDS) {
      expect(await scheduler.find(id)).toMatchObject({ id, status: 'cancelled' })
      await expect(scheduler.cancel(id, ANYONE)).rejects.toMatchObject({ code: 'MESSAGE_NOT_FOUND' })
      expect(await scheduler.schedule(message(id))).toMatchObject({ duplicate: false })
    }
  })

  it('stores an id once that is handed to two servers just then, one of which has not heard of it', async () => {
    const w = world()
    const from = (await w.now()) + 400
    const books = [
      {
        now: from,
        counts: [
          { count: 1, from: 0 },
          { count: 6, from },
        ],
      },
      { now: from - RAISE_DELAY_MS, counts: [{ count: 1, from: 0 }] },
    ].map((recorded) => {
      const book = createShardMap(1, Date.now)
      book.record(recorded)
      return book
    })
    const [aware, unaware] = books.map((book) => withShards(w, 1, [], Date.now, book).scheduler)
    const answers: { id: string; answer: PromiseSettledResult<Scheduled>[] }[] = []
    const asked: Promise<unknown>[] = []
    // For a second after the change, and until enough came after it: on a slow machine that takes longer.
    let after = 0
    for (let i = 0; (await w.now()) < from + 1_000 || i <= 100 || after <= 60; i += 1) {
      if ((await w.now()) >= from) after += 1
      const id = `race-${i}`
      const both = [aware, unaware].map(async (scheduler) => {
        const scheduled = await scheduler?.schedule(message(id))
        if (scheduled === undefined) throw new Error('there is no scheduler')
        return scheduled
      })
      asked.push(Promise.allSettled(both).then((answer) => answers.push({ id, answer })))
    }
    await Promise.all(asked)
    expect(answers.length).toBeGreaterThan(100)
    const stored = new Map<string, number>()
    for (let shard = 0; shard < 6; shard += 1) {
      const ids = await w.client.hkeys(keysOf(shard, w.namespace).messages)
      for (const id of ids) stored.set(id, (stored.get(id) ?? 0) + 1)
    }
    expect([...stored.values()].filter((times) => times !== 1)).toEqual([])
    let refused = 0
    for (const { id, answer } of answers) {
      const said = answer.map((each) =>
        each.status === 'fulfilled' ? each.value.duplicate : each.reason.code,
      )
      // The one that knows always stores it or finds it; the other one may not, once its knowledge is too old.
      if (said[1] === 'STORE_UNAVAILABLE') refused += 1
      expect([
        [false, true],
        [true, false],
        [false, 'STORE_UNAVAILABLE'],
      ]).toContainEqual(said)
      expect(stored.get(id)).toBe(1)
    }
    expect(refused).toBeGreaterThan(50)
    expect(stored.size).toBe(answers.length)
    expect(refused).toBeLessThan(answers.length)
  })

  it('cancels and moves the messages that are there, and not those they had once', async () => {
    const w = world()
    const old = IDS.slice(0, 10)
    const before = withShards(w, 1).scheduler
    for (const id of old) await before.schedule({ ...message(id), due: { inMs: 0 } })
    const { claims } = await claimAll(w.scripts, 0, { token: 't', lockMs: 10_000, room: mainRoom(10) })
    await w.scripts.acknowledge(0, delivered('t', ...claims.map(({ id }) => id)))
    for (const id of old) await w.client.del(w.keys.seenPrefix + id)

    // Their ids are free again, but the history still tells of them.
    const { scheduler, bulk } = withShards(w, 4, [1], () => Date.now() + RETENTION.dedupWindowMs)
    for (const id of old) await scheduler.schedule(message(id))
    expect(await bulk.shift({ ids: old }, 1_000, null)).toBe(10)
    expect(await bulk.cancel({ ids: old }, null)).toEqual({ cancelled: 10, claimed: 0 })
  })

  it('keeps what was finished before known', async () => {
    const w = world()
    await withShards(w, 1).scheduler.schedule({ ...message('a'), due: { inMs: 0 } })
    await claimAll(w.scripts, 0, { token: 't', lockMs: 10_000, room: mainRoom(10) })
    await w.scripts.acknowledge(0, delivered('t', 'a'))
    for (const shards of [2, 3, 4, 5]) {
      const { scheduler } = withShards(w, shards, [1])
      expect(await scheduler.schedule({ ...message('a'), due: { inMs: 0 } })).toMatchObject({
        duplicate: true,
      })
      expect(await scheduler.find('a')).toMatchObject({ status: 'delivered' })
    }
  })

  it('lets many at once be found by id and by tag wherever they are', async () => {
    const w = world()
    const tagged = (id: string) => ({ ...message(id), options: { tags: ['t'] } })
    const few = withShards(w, 2).scheduler
    await Promise.all(IDS.slice(0, 20).map((id) => few.schedule(tagged(id))))
    const { scheduler, bulk } = withShards(w, 5, [2])
    await Promise.all(IDS.slice(20).map((id) => scheduler.schedule(tagged(id))))
    await Promise.all(
      Array.from({ length: 10 }, () =>
        scheduler.schedule({ due: { inMs: 5_000 }, payload: '1', options: { tags: ['t'] } }),
      ),
    )
    expect(await bulk.shift({ tag: 't' }, 60_000, null)).toBe(50)
    expect(await bulk.shift({ ids: IDS }, -30_000, null)).toBe(40)
    expect(await bulk.cancel({ ids: IDS.slice(0, 30) }, null)).toEqual({ cancelled: 30, claimed: 0 })
    expect(await bulk.cancel({ tag: 't' }, null)).toEqual({ cancelled: 20, claimed: 0 })
  })
})
