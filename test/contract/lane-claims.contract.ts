import { describe, expect, it } from 'vitest'
import { encodeRecordBody } from '../../src/records/record.ts'
import { claim, deliver, fail, put } from '../support/acts.ts'
import { LOCK_MS, workerRoom } from '../support/claim-all.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { lanesOf, ONE, putAll, toHost, toQueue } from '../support/lanes.ts'
import { find, stateOf, withoutEvents } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, returned, webhook } from '../support/values.ts'

/** What a claim takes from queues, and what happens to lanes of all kinds when claims end. */
export function describeLaneClaims(kind: string, redisUrl: () => string, shard: number): void {
  describe(`claims from lanes on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('claim', () => {
      it('never takes from queues that are not named, nor tells of them', async () => {
        const w = world()
        await put(w, 'a', { options: toQueue() })
        await put(w, 'b', { options: toQueue('other') })
        const servers = await claim(w)
        expect(servers).toMatchObject({ ids: [], heldBack: false, nextDueInMs: null })
        const worker = await claim(w, workerRoom('q'))
        expect(worker).toMatchObject({ ids: ['a'], nextDueInMs: null })
        await checkKeys(w)
        expect(await lanesOf(w)).toEqual({ '': [], 'pull:other': ['b'] })
      })

      it('takes at most so many of a queue, the longest overdue first, and says that more is due', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [5, 3, 4].map((at) => entry(`m${at}`, { due: { at }, options: toQueue() })),
        )
        await putAll(w, '', { main: 10 })
        await putAll(w, ONE, { host: 10 })
        const reply = await claim(w, workerRoom('q', 2))
        expect(reply).toMatchObject({ ids: ['m3', 'm4'], nextDueInMs: 0 })
        const named = await claim(w, {
          ...{ limit: 0, slots: 3, hostSlots: 0 },
          lanes: new Map([
            ['pull:q', 5],
            [`webhook:${ONE}`, 5],
          ]),
        })
        expect(named.ids).toEqual(['m5', 'host'])
        await checkKeys(w)
      })

      it('only tells when the next message is due without slots for the named queues', async () => {
        const w = world()
        const now = await w.now()
        const look = { limit: 0, slots: 0, hostSlots: 0 }
        const lanes = new Map([
          ['pull:q', 0],
          ['pull:r', 0],
          ['pull:empty', 0],
        ])
        await put(w, 'later', { due: { at: now + 70_000 }, options: toQueue() })
        await put(w, 'sooner', { due: { at: now + 60_000 }, options: toQueue('r') })
        const reply = await claim(w, { ...look, lanes })
        expect(reply).toMatchObject({ ids: [], nextDueInMs: now + 60_000 - reply.now })
        await put(w, 'due', { options: toQueue() })
        expect(await claim(w, { ...look, lanes })).toMatchObject({ ids: [], nextDueInMs: 0 })
        expect(await claim(w, { ...look, lanes: new Map() })).toMatchObject({ ids: [], nextDueInMs: null })
        await checkKeys(w)
      })

      it('returns fewer once their records are large, of lanes too, and comes back to the rest', async () => {
        const w = world()
        const body = (host: string) =>
          encodeRecordBody(`"${'x'.repeat(200_000)}"`, { destination: webhook(host) })
        const hosts = Array.from({ length: 12 }, (_, i) => `http://h${i}.test`)
        const all = hosts.flatMap((host, h) =>
          Array.from({ length: 10 }, (_, i) => ({
            ...{ id: `~${h}-${i}`, due: { at: 1 }, rule: 'any' as const, body: body(host) },
          })),
        )
        await w.scripts.schedule(w.shard, all)
        const seen = new Set<string>()
        while (seen.size < 120) {
          const reply = await claim(w)
          expect(reply.ids.length).toBeGreaterThan(0)
          expect(reply.ids.length * 200_000).toBeLessThan(6_000_000)
          for (const id of reply.ids) seen.add(id)
          expect(reply).toMatchObject({ nextDueInMs: seen.size < 120 ? 0 : null, heldBack: false })
          await checkKeys(w)
        }
      })

      it('forgets an id in a lane that has no record', async () => {
        const w = world()
        const lane = `webhook:${ONE}`
        await w.client.zadd(`${w.keys.scheduled}:${lane}`, 1, 'ghost')
        await w.client.zadd(w.keys.laned, 1, 'ghost')
        await w.client.zadd(w.keys.hosts, 1, lane)
        expect((await claim(w)).ids).toEqual([])
        expect((await dump(w)).text).toBe('[]')
      })

      it('drops and gives up what is too late for its host, and tells how many', async () => {
        const w = world()
        await put(w, 'dropped', { options: { ...toHost(), notAfter: 1, onLate: 'drop' } })
        await put(w, 'dead', { options: { ...toHost(), notAfter: 1, onLate: 'dead-letter' } })
        await put(w, 'anyway', { options: { ...toHost(), notAfter: 1 } })
        expect(await claim(w)).toMatchObject({ ids: ['anyway'], dropped: 1, died: 1 })
        expect([await stateOf(w, 'dropped'), await stateOf(w, 'dead')]).toEqual(['dropped', 'dead'])
        expect((await find(w, 'dead'))?.failures).toBe('expired')
        await checkKeys(w)
      })
    })

    describe('what ends a claim', () => {
      for (const [what, options, room] of [
        ['a host', toHost(), {}],
        ['a queue', toQueue(), workerRoom('q')],
      ] as const) {
        it(`puts a message for ${what} back into its lane: a failure, a return, an expiry`, async () => {
          const w = world()
          const lane = what === 'a host' ? `webhook:${ONE}` : 'pull:q'
          await put(w, 'a', { due: { at: 5 }, options: { ...options, tags: ['t'] } })
          await fail(w, 60_000, room)
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          w.pass(60_000)
          const { token, claims } = await claim(w, room)
          await checkKeys(w)
          await w.scripts.release(
            w.shard,
            claims.map((one) => returned(token, one)),
          )
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          expect((await claim(w, room)).ids).toEqual(['a'])
          w.pass(LOCK_MS)
          const reply = await claim(w, { limit: 0, slots: 0, hostSlots: 0 })
          expect(reply).toMatchObject({ ids: [], recovered: 1, died: 0 })
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          const found = await find(w, 'a')
          expect(found).toMatchObject({ attemptCounts: '1 1', score: 5 })
          expect(withoutEvents(found?.failures)).toBe('lock lost')
          expect(await deliver(w, 0, room)).toEqual(['a'])
          await checkKeys(w)
          expect(await w.client.exists(w.keys.messages, w.keys.laned, w.keys.attempts, w.keys.failures)).toBe(
            0,
          )
        })
      }
    })
  })
}
