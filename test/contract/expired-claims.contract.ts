import { describe, expect, it } from 'vitest'
import { claim, put } from '../support/acts.ts'
import { LOCK_MS, workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { find, stateOf, withoutEvents } from '../support/look-ups.ts'
import { failed, PATIENT, release } from '../support/releases.ts'
import { SETTINGS } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, ids, pull, report, returned, webhook } from '../support/values.ts'

/** Claims that expire, and the numbers of claims. */
export function describeExpiredClaims(kind: string, redisUrl: () => string, shard: number): void {
  describe(`expired claims on ${kind}`, () => {
    const world = useScripts(redisUrl, shard, PATIENT)

    describe('an expired claim', () => {
      for (const [what, destination, room] of [
        ['the console', undefined, {}],
        ['a webhook', webhook('http://a.test'), {}],
        ['a worker', pull('q'), workerRoom('q')],
      ] as const) {
        it(`is recovered a few times for ${what}, and then the message is dead`, async () => {
          const w = world()
          const options = { tags: ['t'], ...(destination === undefined ? {} : { destination }) }
          await put(w, 'a', { due: { at: 5 }, options })
          const numbers: number[] = []
          for (let recoveries = 0; recoveries <= SETTINGS.maxRecoveries; recoveries += 1) {
            const { claims, recovered, died } = await claim(w, room)
            expect([recovered, died]).toEqual([recoveries === 0 ? 0 : 1, 0])
            expect(claims).toMatchObject([{ id: 'a', failures: 0, recoveries, attemptDueAt: 5 }])
            numbers.push(claims[0]?.number ?? 0)
            const lost = recoveries === 0 ? '' : 'lock lost'
            expect(withoutEvents((await find(w, 'a'))?.failures)).toBe(lost)
            await checkKeys(w)
            w.pass(LOCK_MS)
          }
          expect(numbers).toEqual([1, 2, 3, 4])
          const last = await claim(w, room)
          expect(last).toMatchObject({ ids: [], recovered: 0, died: 1, trimmed: 0 })
          expect(await find(w, 'a')).toMatchObject({
            ...{ state: 'dead', score: last.now, attemptCounts: '0 3' },
          })
          expect(withoutEvents((await find(w, 'a'))?.failures)).toBe('recoveries')
          expect(await w.lockOf('a')).toBeNull()
          await checkKeys(w)
        })
      }

      it('counts apart from failures, whose reports stay', async () => {
        const w = world()
        await put(w, 'a', { options: { retry: { attempts: 2 } } })
        const { token } = await claim(w)
        await release(w, failed(token, 'a', { report: JSON.stringify(report(1)) }))
        w.pass(1_000)
        for (let n = 1; n <= 3; n += 1) {
          expect((await claim(w)).claims).toMatchObject([{ failures: 1, recoveries: n - 1 }])
          w.pass(LOCK_MS)
        }
        expect((await claim(w)).claims).toMatchObject([{ failures: 1, recoveries: 3 }])
        w.pass(LOCK_MS)
        expect(await claim(w)).toMatchObject({ ids: [], died: 1 })
        const found = await find(w, 'a')
        expect(found?.attemptCounts).toBe('1 3')
        expect(withoutEvents(found?.failures)).toBe(`recoveries\n${JSON.stringify(report(1))}`)
        expect(found?.failures.match(/\n\{"recovered":\d+\}/g)).toHaveLength(3)
      })

      it('returns to the lane of its message, at most 500 a call', async () => {
        const w = world()
        const destinations = ['http://a.test', 'http://b.test']
        await w.scripts.schedule(
          w.shard,
          ids(1_200).map((id, i) => {
            const host = destinations[i % 3]
            return entry(id, { options: host === undefined ? {} : { destination: webhook(host) } })
          }),
        )
        expect((await claim(w)).ids).toHaveLength(1_200)
        w.pass(LOCK_MS)
        const nothing = { limit: 0, slots: 0, hostSlots: 0 }
        let left = 1_200
        while (left > 0) {
          const { ids: claimed, recovered } = await claim(w, nothing)
          expect(claimed).toEqual([])
          expect(recovered).toBeGreaterThan(0)
          expect(recovered).toBeLessThanOrEqual(500)
          left -= recovered
          await checkKeys(w)
        }
        expect(left).toBe(0)
        expect(await w.client.zcard(w.keys.laned)).toBe(800)
      })
    })

    describe('the number of a claim', () => {
      it('grows with every claim in a shard, whatever is claimed', async () => {
        const w = world()
        await put(w, 'a')
        await put(w, 'b', { options: { destination: webhook('http://a.test') } })
        await put(w, 'q', { options: { destination: pull('q') } })
        await put(w, 's', { options: { destination: { type: 'stream', name: 's' } } })
        const numbers = async (room = {}) =>
          (await claim(w, room)).claims.map(({ id, number }) => [id, number])
        expect(await numbers()).toEqual([
          ['a', 1],
          ['b', 2],
        ])
        expect(await numbers()).toEqual([])
        expect(await numbers(workerRoom('q'))).toEqual([['q', 3]])
        w.pass(LOCK_MS)
        expect(await numbers()).toEqual([
          ['a', 4],
          ['b', 5],
        ])
        expect(await numbers(workerRoom('q'))).toEqual([['q', 6]])
        expect(await w.client.get(w.keys.claims)).toBe('6')
      })

      it('never repeats for a message, through failures, returns, recoveries and redrives', async () => {
        const w = world()
        await put(w, 'a', { options: { retry: { attempts: 2 } } })
        const next = async () => {
          const { token, claims } = await claim(w)
          return { token, number: claims[0]?.number ?? 0, claims }
        }
        const seen: number[] = []
        for (let round = 0; round < 2; round += 1) {
          const first = await next()
          await release(w, failed(first.token, 'a'))
          w.pass(60_000)
          const second = await next()
          await release(w, ...second.claims.map((one) => returned(second.token, one)))
          const third = await next()
          w.pass(LOCK_MS)
          const fourth = await next()
          await release(w, failed(fourth.token, 'a'))
          seen.push(first.number, second.number, third.number, fourth.number)
          expect(await stateOf(w, 'a')).toBe('dead')
          await w.scripts.redrive(w.shard, { ids: ['a'], from: null, everyMs: 0, before: 0 })
        }
        expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      })
    })
  })
}
