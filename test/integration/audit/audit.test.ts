import { describe, expect, inject, it } from 'vitest'
import type { Finding } from '../../../src/audit/kinds.ts'
import { createRepair } from '../../../src/store/scripts/repair.ts'
import { auditFindings } from '../../support/audit.ts'
import { dump } from '../../support/invariants.ts'
import { useScripts } from '../../support/script-world.ts'
import { entry } from '../../support/values.ts'
import { DAMAGES, setScene } from './scene.ts'

const world = useScripts(() => inject('redisUrl'))
const kindsOf = (found: readonly Finding[]) => [...new Set(found.map(({ kind }) => kind))].sort()
const findings = (w = world()) => auditFindings(w.client, w.namespace, { without: ['shard-counts'] })

const repairing = (w = world()) =>
  auditFindings(w.client, w.namespace, {
    without: ['shard-counts'],
    repair: createRepair(w.client, { namespace: w.namespace }, { knownForMs: 60_000 }),
  })

describe('a repair', () => {
  it('writes nothing where all is sound', async () => {
    const w = world()
    await setScene(w)
    const before = (await dump(w)).text
    expect(await repairing()).toEqual([])
    expect((await dump(w)).text).toBe(before)
  })

  for (const { what, act, left = [] } of DAMAGES) {
    it(`${left.length === 0 ? 'repairs' : 'leaves to people'} that ${what}`, async () => {
      const w = world()
      await setScene(w)
      const stored = await w.client.hgetall(w.keys.messages)
      await act(w)
      const damaged = await w.client.hgetall(w.keys.messages)
      await repairing()
      expect(kindsOf(await findings())).toEqual([...left])
      // No record is lost, and nothing that was in time to come is due.
      expect(await w.client.hgetall(w.keys.messages)).toEqual(damaged)
      const due = await w.client.zrangebyscore(w.keys.scheduled, '-inf', await w.now())
      expect(due.filter((id) => id !== 'claimed' && stored[id] !== undefined)).toEqual([])
    })
  }
})

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
      expect(kindsOf(others ?? [])).toEqual([...besides].sort())
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
