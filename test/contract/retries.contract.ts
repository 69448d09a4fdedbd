import { afterEach, describe, expect, it, vi } from 'vitest'
import { decodeFailures } from '../../src/records/history.ts'
import { claim, put } from '../support/acts.ts'
import { LOCK_MS } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { find, scoreOf } from '../support/look-ups.ts'
import { failed, PATIENT, release, waits } from '../support/releases.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, ids, postponed, returned } from '../support/values.ts'

/** How long a failed message waits, and when it is given up. */
export function describeRetries(kind: string, redisUrl: () => string, shard: number): void {
  describe(`retries on ${kind}`, () => {
    const world = useScripts(redisUrl, shard, PATIENT)

    const jittery = useScripts(redisUrl, shard, { ...PATIENT, retry: { ...PATIENT.retry, jitter: 'full' } })

    afterEach(() => void vi.restoreAllMocks())

    describe('the wait after a failure', () => {
      it('grows by the factor up to the maximum without jitter', async () => {
        const w = world()
        await put(w, 'a')
        for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
          await waits(w, 'a', (token) => failed(token, 'a'), seconds * 1_000)
        }
      })

      it('stays the longest however many there were', async () => {
        const w = world()
        await put(w, 'a', { options: { retry: { attempts: 1_000_000, factor: 100 } } })
        await w.client.hset(w.keys.attempts, 'a', '5000 1')
        await waits(w, 'a', (token) => failed(token, 'a'), 60_000)
      })

      for (const [random, share] of [
        [0, 0],
        [0.25, 0.25],
        [1 - 2 ** -53, 1],
      ] as const) {
        it(`is a random share with full jitter: ${random}`, async () => {
          const w = jittery()
          vi.spyOn(Math, 'random').mockReturnValue(random)
          await put(w, 'a')
          for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
            await waits(w, 'a', (token) => failed(token, 'a'), seconds * 1_000 * share)
          }
        })
      }

      it('is drawn for each message', async () => {
        const w = jittery()
        await w.scripts.schedule(
          w.shard,
          ids(100).map((id) => entry(id, { options: { retry: { minMs: 1_000_000, maxMs: 1_000_000 } } })),
        )
        const { ids: claimed, token } = await claim(w)
        const before = await w.now()
        await release(w, ...claimed.map((id) => failed(token, id)))
        const after = await w.now()
        const found = await w.scripts.find(w.shard, claimed)
        const dueAts = found.map((one) => one?.score ?? 0)
        expect(new Set(dueAts).size).toBeGreaterThan(90)
        expect(Math.min(...dueAts)).toBeGreaterThanOrEqual(before)
        expect(Math.max(...dueAts)).toBeLessThanOrEqual(after + 1_000_000)
        expect(Math.max(...dueAts)).toBeGreaterThan(before + 500_000)
      })

      for (const [field, policy, seconds] of [
        ['minMs', { minMs: 3_000 }, [3, 6, 12]],
        ['maxMs', { maxMs: 1_500 }, [1, 1.5, 1.5]],
        ['factor', { factor: 3 }, [1, 3, 9]],
        ['factor', { factor: 1 }, [1, 1, 1]],
        ['factor', { factor: 1.5 }, [1, 1.5, 2.25]],
        ['jitter', { jitter: 'none' }, [1, 2, 4]],
        ['several', { minMs: 500, maxMs: 900, jitter: 'none' }, [0.5, 0.9, 0.9]],
      ] as const) {
        it(`is the message's own where it says so, and else by default: ${field}`, async () => {
          // What it does not say of jitter would be full by default, and then at its longest.
          const w = field === 'jitter' ? jittery() : world()
          vi.spyOn(Math, 'random').mockReturnValue(0.1)
          await put(w, 'a', { options: { retry: policy } })
          for (const each of seconds) await waits(w, 'a', (token) => failed(token, 'a'), each * 1_000)
        })
      }

      it("has the message's own full jitter over a default of none", async () => {
        const w = world()
        vi.spyOn(Math, 'random').mockReturnValue(0.5)
        await put(w, 'a', { options: { retry: { jitter: 'full' } } })
        for (const seconds of [0.5, 1, 2]) await waits(w, 'a', (token) => failed(token, 'a'), seconds * 1_000)
      })

      it('is what the receiver asked for if that is longer, but never longer than the longest', async () => {
        const w = world()
        await put(w, 'a')
        const asked = (retryAfterMs: number) => (token: string) => failed(token, 'a', { retryAfterMs })
        await waits(w, 'a', asked(7_000), 7_000)
        await waits(w, 'a', asked(1_999), 2_000)
        await waits(w, 'a', asked(60_001), 60_000)
        await waits(w, 'a', asked(10 * HOUR_MS), 60_000)
      })

      it('is exactly what a postponement says, even beyond the maximum', async () => {
        const w = world()
        await put(w, 'a')
        for (const ms of [0, 1, 5_000, 10 * HOUR_MS])
          await waits(w, 'a', (token) => postponed(token, 'a', ms), ms)
        expect((await find(w, 'a'))?.attemptCounts).toBe('4 0')
      })

      it('lies at a whole millisecond, no sooner than it should', async () => {
        const w = jittery()
        vi.spyOn(Math, 'random').mockReturnValue(0.000_1)
        await put(w, 'a')
        await waits(w, 'a', (token) => failed(token, 'a'), 1)
        expect(Number.isInteger(await scoreOf(w, 'a'))).toBe(true)
      })
    })

    describe('the last attempt', () => {
      for (const why of ['failed', 'postponed'] as const) {
        it(`makes a dead letter: ${why}`, async () => {
          const w = world()
          await put(w, 'a', { options: { tags: ['t'], retry: { attempts: 3 } } })
          const make = why === 'failed' ? failed : (token: string, id: string) => postponed(token, id, 0)
          for (let n = 1; n <= 2; n += 1) {
            const { token } = await claim(w)
            const reply = await release(w, make(token, 'a'))
            const nextAt = [(await find(w, 'a'))?.score]
            expect(reply).toEqual({ words: ['released'], nextAt, trimmed: 0 })
            w.pass(HOUR_MS)
          }
          const { token } = await claim(w)
          const before = await w.now()
          const reply = await release(w, make(token, 'a'))
          expect(reply).toEqual({ words: ['dead'], nextAt: [undefined], trimmed: 0 })
          const found = await find(w, 'a')
          expect(found).toMatchObject({ state: 'dead', attemptCounts: '3 0' })
          expect(decodeFailures(found?.failures ?? '').reason).toBe(why === 'failed' ? 'timeout' : 'busy')
          expect(found?.score).toBeGreaterThanOrEqual(before)
          expect(found?.score).toBeLessThanOrEqual(await w.now())
          expect(await w.lockOf('a')).toBeNull()
          await checkKeys(w)
          w.pass(10 * HOUR_MS)
          expect((await claim(w)).ids).toEqual([])
        })
      }

      it('is the first where only one is allowed, and by default the setting says', async () => {
        const w = world()
        await put(w, 'a', { options: { retry: { attempts: 1 } } })
        await put(w, 'b')
        await w.client.hset(w.keys.attempts, 'b', '98 7')
        const { token } = await claim(w)
        expect((await release(w, failed(token, 'a'), failed(token, 'b'))).words).toEqual(['dead', 'released'])
        w.pass(HOUR_MS)
        const again = await claim(w)
        expect((await release(w, failed(again.token, 'b'))).words).toEqual(['dead'])
      })

      it('does not come sooner for recoveries or returns', async () => {
        const w = world()
        await put(w, 'a', { options: { retry: { attempts: 2 } } })
        for (let n = 0; n < 2; n += 1) {
          await claim(w)
          w.pass(LOCK_MS)
          const { token, claims } = await claim(w)
          expect(claims).toMatchObject([{ id: 'a', failures: 0, recoveries: n + 1 }])
          expect((await release(w, ...claims.map((one) => returned(token, one)))).words).toEqual(['released'])
        }
        const { token } = await claim(w)
        expect((await release(w, failed(token, 'a'))).words).toEqual(['released'])
        expect((await find(w, 'a'))?.attemptCounts).toBe('1 2')
      })
    })
  })
}
