import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import { laneOfQueue } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { idsOf, pullEntry, pullingOn } from '../../support/pulling.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { machineMs } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

const world = useScripts(() => inject('redisUrl'))

describe('while Redis is unavailable', () => {
  it('a new claim is refused, and a waiting one gets due messages once Redis is back', async () => {
    const w = world()
    let isAway = false
    const scripts: Scripts = {
      ...w.scripts,
      async lease(...args) {
        if (isAway) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
        return w.scripts.lease(...args)
      },
    }
    const { leases, claim, claims } = pullingOn(w, { scripts })
    const waits = claim('jobs', { waitMs: 10_000 })
    await until('it waits', () => claims.length === 1)
    isAway = true
    await expect(claim('elsewhere', { waitMs: 10_000 })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await w.scripts.schedule(0, [pullEntry('a', await w.now())])
    isAway = false
    const from = performance.now()
    leases.wakeAll()
    expect(idsOf(await waits)).toEqual(['a'])
    expect(machineMs(from)).toBeLessThan(500)
  })

  it('waiting claims are not all refused at once, and Redis gets few calls', async () => {
    const w = world()
    const scripts: Scripts = {
      ...w.scripts,
      async lease() {
        throw new SchedulerError('STORE_UNAVAILABLE', 'away')
      },
    }
    const { claim, claims } = pullingOn(w, { scripts })
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, () => claim('jobs', { waitMs: 1_300 })),
    )
    const rejected = answers.filter(({ status }) => status === 'rejected')
    expect(rejected).toHaveLength(2)
    expect(claims.length).toBeLessThanOrEqual(4)
  })
})

describe('while one shard is unavailable', () => {
  const withoutShard0 = (w: ScriptWorld): Scripts => ({
    ...w.scripts,
    async lease(shard, args) {
      if (shard === 0) throw new SchedulerError('STORE_UNAVAILABLE', 'away')
      return w.scripts.lease(shard, args)
    },
  })

  it('a new claim gets messages of the others', async () => {
    const w = world()
    for (let i = 0; i < 6; i += 1) await w.scripts.schedule(1, [pullEntry(`m${i}`, await w.now())])
    const { claim } = pullingOn(w, { shards: 3, scripts: withoutShard0(w) })
    const has: string[] = []
    for (const waitMs of [0, 0, 0, 5_000, 5_000, 5_000]) {
      has.push(...idsOf(await claim('jobs', { limit: 1, waitMs })))
    }
    expect(has.sort()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5'])
  })

  it('a waiting claim gets new messages of the others, but never an empty answer', async () => {
    const w = world()
    const { leases, claim, claims } = pullingOn(w, { shards: 3, scripts: withoutShard0(w) })
    const waits = claim('jobs', { waitMs: 10_000 })
    await until('it has called every shard', () => new Set(claims.map(({ shard }) => shard)).size === 3)
    await w.scripts.schedule(2, [pullEntry('a', await w.now())])
    leases.wake(2, 0, laneOfQueue('jobs'))
    expect(idsOf(await waits)).toEqual(['a'])
    await expect(claim('jobs')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})
