import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { claimingOn, DELIVERED, scheduleWebhooks, webhookEntry } from '../../support/claiming.ts'
import { useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe.each([1, 4])('an idle server with %i shards', (shards) => {
  const quiet = async (c: ReturnType<typeof claimingOn>) => {
    const kinds = ['console', 'hosts', 'streams'] as const
    const before = kinds.map(c.callsOf)
    const all = c.calls.length
    await delay(1_400)
    for (const [i, kind] of kinds.entries()) expect(c.callsOf(kind) - (before[i] ?? 0)).toBeLessThanOrEqual(4)
    if (shards === 1) await until('it has claimed again', () => c.calls.length > all, 1_000)
  }

  it('claims about once a second', async () => {
    const c = claimingOn(world(), { shards })
    c.claimers.start()
    await until('it has claimed', () => c.calls.length >= 3 * shards)
    await quiet(c)
  })

  it('claims about once a second while a host is full', async () => {
    const w = world()
    for (let shard = 0; shard < shards; shard += 1) await scheduleWebhooks(w, ['a.test'], 20, shard)
    const c = claimingOn(w, { shards, perHost: 2 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 2)
    await quiet(c)
    expect(c.sent).toHaveLength(2)
  })

  it('claims about once a second while all slots are taken', async () => {
    const w = world()
    for (let shard = 0; shard < shards; shard += 1) await scheduleWebhooks(w, ['a.test', 'b.test'], 20, shard)
    const c = claimingOn(w, { shards, total: 3 })
    c.claimers.start()
    await until('all are taken', () => c.sent.length === 3)
    await quiet(c)
    expect(c.sent).toHaveLength(3)
  })
})

describe('a wake', () => {
  it('leads to a claim in time', async () => {
    const w = world()
    const c = claimingOn(w)
    c.claimers.start()
    await until('it sleeps', () => c.calls.length === 3)
    await delay(20)
    c.claimers.wake(0, 0, 'webhook:https://a.test')
    await until('it claims', () => c.callsOf('hosts') === 2, 500)
    expect(c.calls).toHaveLength(4)
  })

  it('leads to no claim for a full host before a slot is free', async () => {
    const w = world()
    await scheduleWebhooks(w, ['a.test'], 1)
    const c = claimingOn(w, { perHost: 1 })
    c.claimers.start()
    await until('the host is full', () => c.sent.length === 1)
    await delay(20)
    await w.scripts.schedule(0, [webhookEntry('next', await w.now(), 'a.test')])
    const before = c.calls.length
    for (let i = 0; i < 8; i += 1) {
      c.claimers.wake(0, 0, 'webhook:https://a.test')
      await delay(15)
    }
    expect(c.calls.length - before).toBeLessThanOrEqual(3) // the polls
    c.sent[0]?.end(DELIVERED)
    await until('the next is sent', () => c.sent[1]?.delivery.id === 'next', 500)
  })

  it('leads to no claim for a queue, which workers claim from', async () => {
    const w = world()
    const c = claimingOn(w)
    c.claimers.start()
    await until('it sleeps', () => c.calls.length === 3)
    await delay(20)
    for (let i = 0; i < 100; i += 1) c.claimers.wake(0, 0, 'pull:jobs')
    await delay(100)
    expect(c.calls).toHaveLength(3)
  })
})
