import { describe, expect, it } from 'vitest'
import { claim, fail, put } from '../support/acts.ts'
import { LOCK_MS, MAIN_ONLY } from '../support/claim-all.ts'
import { dead, HOST, makeDead } from '../support/dead-letters.ts'
import { checkKeys } from '../support/invariants.ts'
import { stateOf } from '../support/look-ups.ts'
import { RETENTION, SETTINGS } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, ids, rejected, webhook } from '../support/values.ts'

const toHost = { destination: webhook(HOST) }
/** Which dead letters are deleted for their number or age, and when. */
export function describeDeadLetterLimits(kind: string, redisUrl: () => string, shard: number): void {
  describe(`limits of dead letters on ${kind}`, () => {
    describe('beyond their number', () => {
      const few = useScripts(redisUrl, shard, { ...SETTINGS, retention: { ...RETENTION, deadMax: 3 } })

      it('are deleted, the oldest first, by the release that brings more, and none of it is left', async () => {
        const w = few()
        await makeDead(w, 'a', 'b', 'c')
        await put(w, 'd', { options: { tags: ['t'], ...toHost } })
        await put(w, 'e', { options: { tags: ['t'] } })
        await fail(w, 0)
        const { token } = await claim(w)
        const releases = ['d', 'e'].map((id) => rejected(token, id))
        expect(await w.scripts.release(w.shard, releases)).toMatchObject({
          words: ['dead', 'dead'],
          trimmed: 2,
        })
        expect(await dead(w)).toEqual(['c', 'd', 'e'])
        const all = await checkKeys(w)
        for (const hash of [w.keys.messages, w.keys.attempts, w.keys.failures]) {
          expect([...all.map(hash).keys()].sort()).toEqual(['c', 'd', 'e'])
        }
        expect(await stateOf(w, 'a')).toBe('unknown')
        expect(await put(w, 'a')).toBe('scheduled')
      })

      it('are deleted by the next claim where claims bring them', async () => {
        const w = few()
        await w.scripts.schedule(
          w.shard,
          ids(1_005).map((id, i) => {
            const tags = i % 100 === 0 ? ['t'] : []
            return entry(id, { options: { notAfter: 1, onLate: 'dead-letter', tags } })
          }),
        )
        expect(await claim(w, MAIN_ONLY)).toMatchObject({ died: 1_005, trimmed: 0 })
        // As many as a call may take the time for.
        expect(await claim(w, MAIN_ONLY)).toMatchObject({ died: 0, trimmed: 1_000 })
        expect(await claim(w, MAIN_ONLY)).toMatchObject({ died: 0, trimmed: 2 })
        expect(await claim(w, MAIN_ONLY)).toMatchObject({ died: 0, trimmed: 0 })
        expect(await dead(w)).toEqual(ids(1_005).slice(-3))
        await checkKeys(w)
      })

      it('are deleted by the claim that recovers once too often', async () => {
        const w = few()
        await makeDead(w, 'a', 'b', 'c')
        await put(w, 'd')
        for (let i = 0; i <= SETTINGS.maxRecoveries; i += 1) {
          await claim(w)
          w.pass(LOCK_MS)
        }
        expect(await claim(w)).toMatchObject({ died: 1, trimmed: 1 })
        expect(await dead(w)).toEqual(['b', 'c', 'd'])
        await checkKeys(w)
      })
    })

    describe('beyond their number, divided among shards', () => {
      for (const [deadMax, here] of [
        [11, [4, 4, 3]],
        [2, [1, 1, 0]],
        [0, [0, 0, 0]],
      ] as const) {
        const parts = useScripts(redisUrl, shard, {
          ...SETTINGS,
          shards: () => 3,
          retention: { ...RETENTION, deadMax },
        })

        it(`are as many as the shard's part of ${deadMax}`, async () => {
          const w = parts()
          await makeDead(w, ...ids(6))
          expect(await dead(w)).toEqual(ids(6).slice(6 - (here[shard] ?? 0)))
          await checkKeys(w)
        })
      }
    })

    describe('beyond their age', () => {
      const brief = useScripts(redisUrl, shard, {
        ...SETTINGS,
        retention: { ...RETENTION, deadTtlMs: HOUR_MS },
      })

      it('are deleted by claims and by releases, and by neither before', async () => {
        const w = brief()
        await makeDead(w, 'a')
        w.pass(HOUR_MS / 2)
        await makeDead(w, 'b', 'c')
        w.pass(HOUR_MS / 2 - 60_000)
        expect(await claim(w)).toMatchObject({ trimmed: 0 })
        w.pass(60_000)
        expect(await claim(w)).toMatchObject({ trimmed: 1 })
        expect(await dead(w)).toEqual(['b', 'c'])
        await put(w, 'd')
        const { token } = await claim(w)
        w.pass(HOUR_MS / 2)
        expect(await w.scripts.release(w.shard, [rejected(token, 'd')])).toMatchObject({
          words: ['dead'],
          trimmed: 2,
        })
        expect(await dead(w)).toEqual(['d'])
        await checkKeys(w)
      })

      it('are removed to the very millisecond', async () => {
        const w = brief()
        // The clock runs on while the test does: one for every millisecond in which it may be looked at.
        const now = (await w.now()) - HOUR_MS - 50
        const all = ids(500)
        await w.client.zadd(w.keys.dead, ...all.flatMap((id, i) => [now + i, id]))
        await w.client.hset(w.keys.messages, ...all.flatMap((id) => [id, '1\n"x"']))
        const reply = await claim(w, MAIN_ONLY)
        const gone = reply.now - HOUR_MS - now + 1
        expect(gone).toBeLessThan(500)
        expect(reply.trimmed).toBe(gone)
        expect(await dead(w)).toEqual(all.slice(gone))
      })
    })
  })
}
