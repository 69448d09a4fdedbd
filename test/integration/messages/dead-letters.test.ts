import { describe, expect, inject, it } from 'vitest'
import type { MessageOptions } from '../../../src/domain/message.ts'
import { shardOfClientId } from '../../../src/domain/message-id.ts'
import { createDeadLetters } from '../../../src/messages/dead-letters.ts'
import { createSelector } from '../../../src/messages/selector.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { claimAll } from '../../support/claim-all.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { delivered, mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { shardMapOf } from '../../support/shards.ts'

const world = useScripts(() => inject('redisUrl'))

/** Claims what is due and has it rejected. */
async function reject(w: ScriptWorld, shard: number): Promise<void> {
  const room = { ...mainRoom(1_000), slots: 1_000, hostSlots: 1_000 }
  const { claims } = await claimAll(w.scripts, shard, { token: 't', lockMs: 60_000, room })
  await w.scripts.release(
    shard,
    claims.map(({ id }) => ({ id, token: 't', why: 'rejected', reason: 'status 410', report: '' })),
  )
}

/** Schedules messages and makes dead letters of them. */
async function die(w: ScriptWorld, shard: number, ids: readonly string[], options: MessageOptions = {}) {
  const due = { at: (await w.now()) - 5 }
  const body = encodeRecordBody('1', options)
  await w.scripts.schedule(
    shard,
    ids.map((id) => ({ id, due, rule: 'any', body })),
  )
  await reject(w, shard)
}

/** An id that its server made, which says in which shard it is. */
const idIn = (shard: number, i: number) => `~${shard}0000000${String(i).padStart(4, '0')}`
const idsIn = (shard: number, count: number) => Array.from({ length: count }, (_, i) => idIn(shard, i))

function deadLettersOn(
  w: ScriptWorld,
  shards: number,
  redrive = w.scripts.redrive,
  before: readonly number[] = [],
) {
  const heads: { shard: number; inMs: number }[] = []
  const scripts: Scripts = { ...w.scripts, redrive }
  const selector = createSelector(scripts, shardMapOf(shards, before))
  const { metrics } = noteMetrics()
  const onNextDue = (shard: number, inMs: number) => void heads.push({ shard, inMs })
  return { deadLetters: createDeadLetters({ scripts, selector, onNextDue, metrics }), heads }
}

const dead = (w: ScriptWorld, shard: number) => w.client.zrange(keysOf(shard, w.namespace).dead, '0', '-1')
const due = async (w: ScriptWorld, shard: number) => {
  const { scheduled } = keysOf(shard, w.namespace)
  const all = await w.client.zrange(scheduled, '0', '-1', 'WITHSCORES')
  return all.filter((_, i) => i % 2 === 1).map(Number)
}

describe('redriving', () => {
  it('schedules the dead ones among ids, in whatever shard, and names the others', async () => {
    const w = world()
    for (const shard of [0, 1, 2]) await die(w, shard, idsIn(shard, 3))
    await w.scripts.schedule(1, [w.entry(idIn(1, 9), (await w.now()) + 60_000)])
    const { deadLetters, heads } = deadLettersOn(w, 3)
    const ids = [idIn(2, 0), idIn(1, 9), 'unknown', idIn(0, 1), idIn(0, 2), idIn(0, 2), idIn(7, 1)]
    const { redriven, unknown } = await deadLetters.redrive({ ids }, null, null)
    expect(redriven).toBe(3)
    expect(unknown.sort()).toEqual([idIn(1, 9), idIn(7, 1), 'unknown'].sort())
    expect(await dead(w, 0)).toEqual([idIn(0, 0)])
    expect(await dead(w, 1)).toEqual(idsIn(1, 3))
    expect(await dead(w, 2)).toEqual([idIn(2, 1), idIn(2, 2)])
    expect((await due(w, 0)).every((at) => at <= Date.now() + 1_000)).toBe(true)
    expect(heads.map(({ shard }) => shard).sort()).toEqual([0, 2])
    // As if it had never failed.
    expect(await w.client.hkeys(w.keys.attempts)).toEqual([idIn(0, 0)])
  })

  it('finds ids that died while there were fewer shards', async () => {
    const w = world()
    const ids = Array.from({ length: 12 }, (_, i) => `message-${i}`)
    await die(w, 0, ids)
    // Of some of them a namesake was delivered since, in the shard where it would be now.
    const [one = ''] = ids.filter((id) => shardOfClientId(id, 4) === 2)
    await w.scripts.schedule(2, [w.entry(one, (await w.now()) - 5)])
    await claimAll(w.scripts, 2, { token: 't', lockMs: 60_000, room: mainRoom() })
    await w.scripts.acknowledge(2, delivered('t', one))
    const { deadLetters } = deadLettersOn(w, 4, w.scripts.redrive, [1])
    const { redriven, unknown } = await deadLetters.redrive({ ids: [...ids, 'unknown'] }, null, null)
    expect([redriven, unknown]).toEqual([12, ['unknown']])
    expect(await w.client.zcard(w.keys.scheduled)).toBe(12)
  })

  it('says nothing of dead letters that vanish while all are redriven', async () => {
    const w = world()
    await die(w, 0, idsIn(0, 3))
    const { deadLetters } = deadLettersOn(w, 1, async (shard, args) => {
      await w.scripts.cancel(shard, { ids: [idIn(0, 1)], ifMatch: '', states: ['dead'] })
      return w.scripts.redrive(shard, args)
    })
    expect(await deadLetters.redrive({ all: true }, null, null)).toEqual({
      redriven: 2,
      unreadable: 0,
      unknown: [],
    })
  })

  it('schedules those with a tag, and no other, in every shard', async () => {
    const w = world()
    for (const shard of [0, 1, 2]) {
      await die(w, shard, [idIn(shard, 1), idIn(shard, 2)], { tags: ['a', 'b'] })
      await die(w, shard, [idIn(shard, 3)], { tags: ['b'] })
    }
    const { deadLetters } = deadLettersOn(w, 3)
    expect(await deadLetters.redrive({ tag: 'a' }, null, null)).toEqual({
      redriven: 6,
      unreadable: 0,
      unknown: [],
    })
    expect(await Promise.all([0, 1, 2].map((shard) => dead(w, shard)))).toEqual(
      [0, 1, 2].map((shard) => [idIn(shard, 3)]),
    )
    expect(await deadLetters.redrive({ tag: 'c' }, null, null)).toEqual({
      redriven: 0,
      unreadable: 0,
      unknown: [],
    })
  })

  it('schedules all, also more than fit into one call', async () => {
    const w = world()
    const counts = [720, 1, 0]
    for (const [shard, count] of counts.entries()) await die(w, shard, idsIn(shard, count))
    const { deadLetters } = deadLettersOn(w, 3)
    expect(await deadLetters.redrive({ all: true }, null, null)).toEqual({
      redriven: 721,
      unreadable: 0,
      unknown: [],
    })
    expect((await Promise.all([0, 1, 2].map((shard) => dead(w, shard)))).flat()).toEqual([])
    expect(await w.client.zcard(w.keys.scheduled)).toBe(720)
    expect(await deadLetters.redrive({ all: true }, null, null)).toEqual({
      redriven: 0,
      unreadable: 0,
      unknown: [],
    })
  })

  it.each([
    [3, 333.333],
    [50, 20],
    [1_000, 1],
  ])('spreads them in one row over all shards at %i a second', async (perSecond, everyMs) => {
    const w = world()
    const counts = [520, 0, 7, 5]
    for (const [shard, count] of counts.entries()) await die(w, shard, idsIn(shard, count))
    const { deadLetters } = deadLettersOn(w, 4)
    const from = await w.now()
    await deadLetters.redrive({ all: true }, perSecond, null)
    const to = await w.now()
    const all = (await Promise.all([0, 1, 2, 3].map((shard) => due(w, shard)))).flat().sort((a, b) => a - b)
    expect(all).toHaveLength(532)
    const [first = 0] = all
    expect(first).toBeGreaterThanOrEqual(from)
    expect(first).toBeLessThanOrEqual(to)
    expect(all.filter((at, i) => Math.abs(at - (first + i * everyMs)) > 1.01)).toEqual([])
  })

  it('leaves no gap for ids that are not dead at a given rate', async () => {
    const w = world()
    await die(w, 0, idsIn(0, 4))
    await die(w, 1, idsIn(1, 4))
    const { deadLetters } = deadLettersOn(w, 2)
    const ids = [idIn(0, 0), idIn(0, 8), idIn(0, 1), idIn(1, 7), idIn(1, 3)]
    expect(await deadLetters.redrive({ ids }, 10, null)).toMatchObject({ redriven: 3 })
    const all = [...(await due(w, 0)), ...(await due(w, 1))]
    expect(all.map((at) => at - (all[0] ?? 0))).toEqual([0, 100, 200])
  })

  it.each([
    ['all', { all: true }],
    ['a tag', { tag: 'a' }],
  ] as const)('%s does not redrive again what dies again meanwhile, and ends', async (_what, selection) => {
    const w = world()
    const ids = idsIn(0, 760)
    await die(w, 0, ids, { tags: ['a'] })
    const redriven: string[] = []
    const { deadLetters } = deadLettersOn(w, 1, async (shard, args) => {
      const reply = await w.scripts.redrive(shard, args)
      redriven.push(...args.ids.slice(0, reply.processed))
      // Whatever it is meant for refuses it at once.
      w.pass(1)
      await reject(w, shard)
      return reply
    })
    expect(await deadLetters.redrive(selection, null, null)).toEqual({
      redriven: 760,
      unreadable: 0,
      unknown: [],
    })
    expect(redriven.sort()).toEqual(ids.sort())
    expect(await dead(w, 0)).toHaveLength(760)
  })

  it('ends where it was to end although that one is gone by then', async () => {
    const w = world()
    await die(w, 0, idsIn(0, 510))
    w.pass(1)
    await die(w, 0, [idIn(0, 999)])
    let calls = 0
    const { deadLetters } = deadLettersOn(w, 1, async (shard, args) => {
      const reply = await w.scripts.redrive(shard, args)
      calls += 1
      await w.scripts.cancel(shard, { ids: [idIn(0, 999)], ifMatch: '', states: ['dead'] })
      w.pass(1)
      await reject(w, shard)
      return reply
    })
    expect(await deadLetters.redrive({ all: true }, null, null)).toMatchObject({ redriven: 510 })
    expect(calls).toBeLessThanOrEqual(12)
  })
})

describe('removing', () => {
  it('deletes dead letters by id, by tag or all, and nothing else', async () => {
    const w = world()
    for (const shard of [0, 1]) {
      await die(w, shard, [idIn(shard, 1), idIn(shard, 2)], { tags: ['a'] })
      await die(w, shard, [idIn(shard, 3), idIn(shard, 4)])
      await w.scripts.schedule(shard, [w.entry(idIn(shard, 5), (await w.now()) + 60_000)])
    }
    const { deadLetters } = deadLettersOn(w, 2)
    const ids = [idIn(0, 1), idIn(1, 3), idIn(1, 5), 'unknown']
    expect(await deadLetters.remove({ ids }, null)).toBe(2)
    expect(await dead(w, 0)).toEqual([idIn(0, 2), idIn(0, 3), idIn(0, 4)])
    expect(await deadLetters.remove({ tag: 'a' }, null)).toBe(3)
    expect(await Promise.all([0, 1].map((shard) => dead(w, shard)))).toEqual([
      [idIn(0, 3), idIn(0, 4)],
      [idIn(1, 4)],
    ])
    expect(await deadLetters.remove({ all: true }, null)).toBe(3)
    for (const shard of [0, 1]) {
      const keys = keysOf(shard, w.namespace)
      expect(await w.client.hkeys(keys.messages)).toEqual([idIn(shard, 5)])
      expect(await w.client.exists(keys.attempts, keys.failures, `${keys.tagPrefix}a`)).toBe(0)
    }
  })

  it('deletes more than one call takes', async () => {
    const w = world()
    await die(w, 0, idsIn(0, 700))
    const { deadLetters } = deadLettersOn(w, 1)
    expect(await deadLetters.remove({ all: true }, null)).toBe(700)
    expect(await w.client.exists(w.keys.messages)).toBe(0)
  })
})
