import { describe, expect, inject, it } from 'vitest'
import { entry } from '../redis/acts.ts'
import { auditFindings } from '../support/audit.ts'
import { useScripts } from '../support/script-world.ts'
import { DAMAGES, setScene } from './scene.ts'

const world = useScripts(() => inject('redisUrl'))
const findings = (w = world()) => auditFindings(w.client, w.namespace, { without: ['shard-counts'] })

describe('an audit', () => {
  it('finds nothing where nothing is wrong, in any state and at any destination', async () => {
    await setScene(world())
    expect(await findings()).toEqual([])
  })

  for (const { kind, what, name, act, besides = [] } of DAMAGES) {
    it(`finds that ${what}`, async () => {
      const w = world()
      await setScene(w)
      await act(w)
      const found = await findings()
      const [wanted, others] = [true, false].map((is) => found.filter((each) => (each.kind === kind) === is))
      expect(wanted?.length).toBeGreaterThan(0)
      for (const each of wanted ?? []) expect(each.name).toContain(name)
      expect([...new Set(others?.map((each) => each.kind))].sort()).toEqual([...besides].sort())
    })
  }

  it('tells of a shard that no server looks into, and of a number of shards that cannot be read', async () => {
    const w = world()
    await w.scripts.schedule(3, [entry('far', { due: { at: 9e12 } })])
    await w.client.set(`${w.namespace}:shards`, '2')
    expect(await auditFindings(w.client, w.namespace)).toMatchObject([{ kind: 'unknown-shard', shard: 3 }])
    await w.client.set(`${w.namespace}:shards`, 'many')
    expect(await auditFindings(w.client, w.namespace)).toMatchObject([{ kind: 'shard-counts' }])
  })

  it('tells of a key of the wrong type, and of what it keeps from being looked at', async () => {
    const w = world()
    await setScene(w)
    await w.client.del(w.keys.attempts)
    await w.client.set(w.keys.attempts, 'x')
    const found = await findings()
    expect(found.map(({ kind }) => kind)).toContain('wrong-type')
    expect(found).toContainEqual(expect.objectContaining({ kind: 'not-audited', name: 'attempts' }))
  })

  it('walks collections of many pages, of large records too', async () => {
    const w = world()
    const many = Array.from({ length: 3_000 }, (_, i) => entry(`~${i}`, { due: { at: 9e12 } }))
    await w.scripts.schedule(w.shard, many)
    const large = { due: { at: 9e12 }, payload: 'x'.repeat(300_000) }
    await w.scripts.schedule(
      w.shard,
      Array.from({ length: 20 }, (_, i) => entry(`large-${i}`, large)),
    )
    await w.client.zrem(w.keys.scheduled, '~2999', 'large-19')
    const found = await findings()
    expect(new Set(found.map(({ name }) => name))).toEqual(new Set(['~2999', 'large-19']))
  })
})
