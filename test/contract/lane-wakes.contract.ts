import { describe, expect, it } from 'vitest'
import { claim, listen, put, reject, reschedule, shift } from '../support/acts.ts'
import { LOCK_MS, workerRoom } from '../support/claim-all.ts'
import { ONE, THREE, TWO, toHost, toQueue } from '../support/lanes.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, returned } from '../support/values.ts'

/** Which wakes are published for a lane, and how its messages are counted. */
export function describeLaneWakes(kind: string, redisUrl: () => string, shard: number): void {
  describe(`wakes and counts of lanes on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('publishing', () => {
      it('tells of the soonest of several, once a lane', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        const now = await w.now()
        const at = (inMs: number, options = {}) => ({ due: { at: now + inMs }, options })
        const { nextDueInMs } = await w.scripts.schedule(w.shard, [
          entry('a', at(90_000, toHost())),
          entry('b', at(70_000, toHost())),
          entry('c', at(80_000, toHost())),
          entry('d', at(60_000, toQueue())),
          entry('e', at(50_000, toQueue())),
        ])
        expect(nextDueInMs).toBeGreaterThan(60_000)
        expect(nextDueInMs).toBeLessThanOrEqual(70_000)
        expect((await heard()).sort()).toEqual([
          expect.stringMatching(/^(4\d{4}|50000) pull:q$/),
          expect.stringMatching(/^(6\d{4}|70000) webhook:/),
        ])
        stop()
      })

      it('calls for help when a server leaves some of what is due, and not for a worker that pulls', async () => {
        const w = world()
        for (const id of ['a', 'b']) await put(w, id, { due: { at: 1 } })
        for (const id of ['q1', 'q2']) await put(w, id, { due: { at: 1 }, options: toQueue() })
        const { heard, stop } = await listen(w)
        expect((await claim(w, { ...workerRoom('q'), slots: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual([])
        expect((await claim(w, { limit: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual(['help'])
        expect((await claim(w, { limit: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual([])
        stop()
      })

      it('tells of the first message of each lane, by whatever it got there, and not otherwise', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        const now = await w.now()
        const host = `webhook:${ONE}`
        await put(w, 'main', { due: { at: now + 1_000 } })
        expect(await heard()).toEqual([expect.stringMatching(/^\d{1,4} $/)])
        await put(w, 'a', { due: { at: now + HOUR_MS }, options: toHost() })
        expect(await heard()).toEqual([expect.stringMatching(new RegExp(`^3[56]\\d{5} ${host}$`))])
        await put(w, 'b', { due: { at: now + 2 * HOUR_MS }, options: toHost() })
        expect(await heard()).toEqual([])
        await put(w, 'c', { due: { at: 1 }, options: toHost() })
        await put(w, 'q', { due: { at: 1 }, options: toQueue() })
        expect(await heard()).toEqual([`0 ${host}`, '0 pull:q'])
        const [hosts, workers] = [await claim(w, { limit: 0 }), await claim(w, workerRoom('q'))]
        await w.scripts.release(
          w.shard,
          hosts.claims.map((one) => returned(hosts.token, one)),
        )
        expect(await heard()).toEqual([`0 ${host}`])
        await reschedule(w, 'c', { due: { at: 2 } })
        await reschedule(w, 'c', { options: toHost(TWO) })
        await reschedule(w, 'b', { due: { at: now + 3 * HOUR_MS } })
        expect(await heard()).toEqual([`0 webhook:${TWO}`])
        await shift(w, ['c', 'b'], -1)
        expect(await heard()).toEqual([`0 webhook:${TWO}`])
        expect(workers.ids).toEqual(['q'])
        w.pass(LOCK_MS)
        await claim(w, { limit: 0, slots: 0, hostSlots: 0 })
        expect(await heard()).toEqual(['0 pull:q'])
        stop()
      })
    })

    describe('count', () => {
      it('sums over lanes, and tells apart what waits only for a worker or a slot', async () => {
        const w = world()
        const ago = async () => (await w.scripts.count(w.shard)).overdueMs
        const now = await w.now()
        const at = (agoMs: number) => ({ due: { at: now - agoMs } })
        const count = async (full: (string | undefined)[] = []) => {
          const counts = await w.scripts.count(
            w.shard,
            full.map((host) => `webhook:${host}`),
          )
          // To whole minutes, as the clock runs on.
          const minutes = (ms: number) => Math.floor(ms / 60_000)
          const { scheduled, overdueMs, lateMs } = counts
          return [scheduled, minutes(overdueMs), minutes(lateMs)]
        }
        await put(w, 'future', { due: { at: now + HOUR_MS }, options: toHost(THREE) })
        expect(await count()).toEqual([1, 0, 0])
        expect(await ago()).toBe(0)
        await put(w, 'q', { ...at(9 * 60_000), options: toQueue() })
        expect(await count()).toEqual([2, 9, 0])
        await put(w, 'two', { ...at(3 * 60_000), options: toHost(TWO) })
        expect(await count()).toEqual([3, 9, 3])
        await put(w, 'one', { ...at(5 * 60_000), options: toHost() })
        expect(await count()).toEqual([4, 9, 5])
        expect(await count([ONE])).toEqual([4, 9, 3])
        expect(await count([TWO])).toEqual([4, 9, 5])
        expect(await count([TWO, ONE])).toEqual([4, 9, 0])
        expect(await count(['http://none.test'])).toEqual([4, 9, 5])
        await put(w, 'main', at(2 * 60_000))
        expect(await count([ONE, TWO])).toEqual([5, 9, 2])
        await put(w, 'late main', at(11 * 60_000))
        expect(await count([ONE])).toEqual([6, 11, 11])
        await reject(w)
        expect(await w.scripts.count(w.shard)).toMatchObject({ scheduled: 2, claimed: 0, dead: 4 })
      })
    })
  })
}
