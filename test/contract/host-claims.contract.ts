import { describe, expect, it } from 'vitest'
import { decodeRecord } from '../../src/records/record.ts'
import { cancel, claim } from '../support/acts.ts'
import type { ClaimRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { lanesOf, ONE, putAll, THREE, TWO, toHost } from '../support/lanes.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, ids, LAST } from '../support/values.ts'

/** Which hosts a claim takes from, and how much. */
export function describeHostClaims(kind: string, redisUrl: () => string, shard: number): void {
  describe(`claims for hosts on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('claim', () => {
      const room = (some: Partial<ClaimRoom>): Partial<ClaimRoom> => ({
        limit: 0,
        slots: 1_000,
        hostSlots: 1_000,
        ...some,
      })

      it('takes from every host, those first in which something has waited longest', async () => {
        const w = world()
        await putAll(w, TWO, { a2: 300, b2: 100 })
        await putAll(w, ONE, { a1: 200, b1: 150 })
        await putAll(w, THREE, { a3: 400 })
        await putAll(w, '', { main: 50 })
        const reply = await claim(w)
        expect(reply.ids).toEqual(['main', 'a3', 'a2', 'b2', 'a1', 'b1'])
        expect(reply).toMatchObject({ heldBack: false, nextDueInMs: null })
        expect(await lanesOf(w)).toEqual({ '': [] })
        expect(await w.client.zcard(w.keys.claimed)).toBe(6)
        expect(reply.claims.map(({ attemptDueAt }) => attemptDueAt)).toEqual(
          reply.claims.map(({ record }) => decodeRecord(record).dueAt),
        )
        await w.scripts.acknowledge(
          w.shard,
          reply.ids.map((id) => ({ id, token: reply.token, lateMs: 0 })),
        )
        await checkKeys(w)
        expect(await w.client.exists(w.keys.messages)).toBe(0)
      })

      it('takes what is due and leaves the rest of the lane, whose time it tells', async () => {
        const w = world()
        const now = await putAll(w, ONE, { a: 5, later: -60_000, latest: -70_000 })
        const reply = await claim(w)
        expect(reply.ids).toEqual(['a'])
        expect(reply).toMatchObject({ nextDueInMs: now + 60_000 - reply.now, heldBack: false })
        expect(await lanesOf(w)).toEqual({ '': [], [`webhook:${ONE}`]: ['later', 'latest'] })
      })

      it('takes at most so many of each host', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350 })
        const reply = await claim(w, room({ hostSlots: 2 }))
        expect(reply.ids).toEqual(['a1', 'b1', 'a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
      })

      it('takes at most so many of a host that is named', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350, b2: 250 })
        const lanes = new Map([
          [`webhook:${ONE}`, 2],
          [`webhook:${THREE}`, 0],
        ])
        const reply = await claim(w, room({ hostSlots: 1, lanes }))
        expect(reply.ids).toEqual(['a1', 'b1', 'a2'])
        expect(reply.heldBack).toBe(true)
        await checkKeys(w)
      })

      it('takes at most so many of all hosts together, and of one host never more than are left', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350, b2: 250, c2: 150 })
        const reply = await claim(w, room({ slots: 4, hostSlots: 3 }))
        expect(reply.ids).toEqual(['a1', 'b1', 'c1', 'a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
      })

      it('leaves a full lane as it is, which neither hides another one nor spoils the time to the next', async () => {
        const w = world()
        const nowOne = await putAll(w, ONE, { a1: 400, b1: -5_000 })
        const now = await putAll(w, TWO, { a2: 300, b2: -90_000 })
        await putAll(w, '', { main: -100_000 })
        const before = await w.client.zrange(`${w.keys.scheduled}:webhook:${ONE}`, '0', '-1', 'WITHSCORES')
        const lanes = new Map([[`webhook:${ONE}`, 0]])
        const reply = await claim(w, { lanes })
        expect(reply.ids).toEqual(['a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: now + 90_000 - reply.now })
        expect(await w.client.zrange(`${w.keys.scheduled}:webhook:${ONE}`, '0', '-1', 'WITHSCORES')).toEqual(
          before,
        )
        // A full lane of which nothing is due is as any other.
        await cancel(w, 'a1')
        const next = await claim(w, { lanes })
        expect(next).toMatchObject({ ids: [], heldBack: false, nextDueInMs: nowOne + 5_000 - next.now })
        await checkKeys(w)
      })

      it('says that something is held back exactly when something is due without a slot', async () => {
        const w = world()
        await putAll(w, ONE, { a: 10, b: 5 })
        await putAll(w, TWO, { later: -60_000 })
        const lanes = new Map([[`webhook:${ONE}`, 1]])
        expect((await claim(w, room({ lanes }))).heldBack).toBe(true)
        expect(await claim(w, room({ lanes }))).toMatchObject({ ids: ['b'], heldBack: false })
        expect((await claim(w, room({ lanes: new Map([[`webhook:${ONE}`, 0]]) }))).heldBack).toBe(false)
        expect((await claim(w, room({ slots: 0 }))).heldBack).toBe(false)
      })

      it('takes nothing of hosts without slots, and tells when the next message is due', async () => {
        const w = world()
        await putAll(w, '', { main: 10 })
        await putAll(w, ONE, { a1: 10, b1: -3_600_000 })
        await putAll(w, TWO, { a2: 5 })
        const now = await putAll(w, THREE, { a3: -70_000, b3: -60_000 })
        const reply = await claim(w, { slots: 0 })
        expect(reply.ids).toEqual(['main'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: now + 60_000 - reply.now })
        await checkKeys(w)
        // Without an interest in hosts at all there is neither.
        const none = await claim(w, { slots: 0, hostSlots: 0 })
        expect(none).toMatchObject({ ids: [], heldBack: false, nextDueInMs: null })
      })

      it('tells the next due time to the very millisecond, to the end of the year 9999', async () => {
        const w = world()
        w.pass(LAST - HOUR_MS - (await w.now()))
        // The clock runs on while the test does: one host for every millisecond in which the next may be looked for.
        const now = await w.now()
        await w.scripts.schedule(
          w.shard,
          ids(2_000).map((id, i) => entry(id, { due: { at: now + i }, options: toHost(`http://${i}.test`) })),
        )
        for (let i = 0; i < 3; i += 1) {
          const reply = await claim(w, { limit: 0, streamLimit: 0, slots: 0 })
          expect(reply.now - now).toBeLessThan(1_900)
          expect(reply).toMatchObject({ ids: [], heldBack: true, nextDueInMs: 1 })
        }
      })

      it('leaves out the main due set and its time without room for it', async () => {
        const w = world()
        await putAll(w, '', { main: 10 })
        const now = await putAll(w, ONE, { a: 10, later: -60_000 })
        const reply = await claim(w, { limit: 0 })
        expect(reply.ids).toEqual(['a'])
        expect(reply.nextDueInMs).toBe(now + 60_000 - reply.now)
        expect((await claim(w)).ids).toEqual(['main'])
      })

      it('looks at a message of every host, however many there are', async () => {
        const w = world()
        const now = await w.now()
        const hosts = Array.from({ length: 300 }, (_, i) => `http://h${i}.test`)
        await w.scripts.schedule(
          w.shard,
          hosts.flatMap((host, i) => [
            entry(`~${i}`, { due: { at: now - 1_000 + i }, options: toHost(host) }),
            entry(`~${i}x`, { due: { at: now - 600 }, options: toHost(host) }),
          ]),
        )
        const lanes = new Map(hosts.slice(0, 200).map((host) => [`webhook:${host}`, 0]))
        const reply = await claim(w, room({ hostSlots: 1, lanes }))
        expect(reply.ids).toEqual(hosts.slice(200).map((_, i) => `~${200 + i}`))
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
        // Behind more than 64 that are full lies the one that says when to come back.
        await putAll(w, 'http://future.test', { future: -60_000 })
        const full = new Map(hosts.map((host) => [`webhook:${host}`, 0]))
        const later = await claim(w, room({ lanes: full }))
        expect(later).toMatchObject({ ids: [], heldBack: true })
        expect(later.nextDueInMs).toBeGreaterThan(50_000)
        const all = await claim(w)
        expect(all.ids).toHaveLength(500)
        expect(all).toMatchObject({
          heldBack: false,
          nextDueInMs: (later.nextDueInMs ?? 0) - (all.now - later.now),
        })
        await checkKeys(w)
      })

      it('takes from exactly as many hosts as are read at once, and from none twice', async () => {
        for (const count of [63, 64, 65, 128]) {
          const w = world()
          const hosts = Array.from({ length: count }, (_, i) => `http://n${count}-${i}.test`)
          await w.scripts.schedule(
            w.shard,
            hosts.flatMap((host, i) => [
              entry(`~${count}-${i}`, { options: toHost(host) }),
              entry(`~${count}-${i}x`, { options: toHost(host) }),
            ]),
          )
          const reply = await claim(w, room({ hostSlots: 1 }))
          expect(new Set(reply.ids).size).toBe(count)
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
          expect((await claim(w)).ids).toHaveLength(count)
        }
      })

      describe('of the last slots, the reserve', () => {
        /** How many each host gets of 16 slots, 8 at most each and 4 of them reserve, by when it came. */
        const shares = async (
          w: ScriptWorld,
          hosts: readonly string[],
          lanes = new Map<string, number>(),
        ) => {
          for (const [i, host] of hosts.entries()) {
            const entries = ids(10, `${i}-`).map((id) =>
              entry(id, { due: { at: i + 1 }, options: toHost(host) }),
            )
            await w.scripts.schedule(w.shard, entries)
          }
          const inFlight = [...lanes.values()].reduce((sum, left) => sum + 8 - left, 0)
          const reply = await claim(w, room({ slots: 16 - inFlight, hostSlots: 8, reserve: 4, lanes }))
          const count = (i: number) => reply.ids.filter((id) => id.startsWith(`${i}-`)).length
          return { shares: hosts.map((_, i) => count(i)), reply }
        }
        const hosts = (count: number) => ids(count, 'http://h').map((name) => `${name}.test`)

        it('gives a host more only while it has fewer than are left, so that some are left for the next', async () => {
          const { shares: given, reply } = await shares(world(), hosts(6))
          // 8 of 16, then 4 of which are free to take, and of the last 4 half, half of the rest, and so on.
          expect(given).toEqual([8, 4, 2, 1, 1, 0])
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        })

        it('gives those that have many already none, and does not hurry back for them', async () => {
          const w = world()
          const [one = '', two = ''] = hosts(2)
          const { shares: given, reply } = await shares(
            w,
            [one, two],
            new Map([
              [`webhook:${one}`, 2],
              [`webhook:${two}`, 1],
            ]),
          )
          expect(given).toEqual([0, 0])
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        })

        it('is no matter for a host that is the only one', async () => {
          const [one = ''] = hosts(1)
          const { shares: given } = await shares(world(), [one], new Map([[`webhook:${one}`, 4]]))
          expect(given).toEqual([4])
        })
      })
    })
  })
}
