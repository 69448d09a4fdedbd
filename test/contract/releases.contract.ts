import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  type AttemptReport,
  decodeFailures,
  decodeHistoryEntry,
  type RetryPolicy,
} from '../../src/domain/message.ts'
import type { Release } from '../../src/store/scripts/scripts.ts'
import {
  claim,
  deliver,
  entry,
  find,
  HOUR_MS,
  ids,
  keysIn,
  LOCK_MS,
  listen,
  postponed,
  pull,
  put,
  rejected,
  report,
  returned,
  scoreOf,
  stateOf,
  webhook,
  workerRoom,
} from '../support/acts.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { SETTINGS } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

const failed = (
  token: string,
  id: string,
  said: Partial<Extract<Release, { why: 'failed' }>> = {},
): Release => ({
  ...{ id, token, why: 'failed', retryAfterMs: 0, reason: 'timeout', report: '', ...said },
})

const release = (w: ScriptWorld, ...releases: Release[]) => w.scripts.release(w.shard, releases)

/** Claims a message, ends the claim so, and asserts after how long it is due again, up to the time that this takes. */
async function waits(
  w: ScriptWorld,
  id: string,
  make: (token: string) => Release,
  ms: number,
): Promise<void> {
  const claimed = await claim(w)
  expect(claimed.ids).toEqual([id])
  const before = await w.now()
  expect(await release(w, make(claimed.token))).toEqual({ words: ['released'], trimmed: 0 })
  const after = await w.now()
  const dueAt = await scoreOf(w, id)
  expect(dueAt).toBeGreaterThanOrEqual(before + ms)
  expect(dueAt).toBeLessThanOrEqual(after + ms)
  await checkKeys(w)
  w.pass(Math.max(0, dueAt - after))
}

/** What scripts promise of claims that end without delivery, or go on. */
export function describeReleases(kind: string, redisUrl: () => string, shard: number): void {
  describe(`claims on ${kind}`, () => {
    const patient: Required<RetryPolicy> = {
      ...{ attempts: 100, minMs: 1_000, maxMs: 60_000, factor: 2, jitter: 'none' },
    }
    const world = useScripts(redisUrl, shard, { ...SETTINGS, retry: patient })
    const jittery = useScripts(redisUrl, shard, { ...SETTINGS, retry: { ...patient, jitter: 'full' } })
    afterEach(() => void vi.restoreAllMocks())

    describe('the wait after a failure', () => {
      it('without jitter grows by the factor, up to the longest', async () => {
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
        it(`with full jitter is that share of it that chance says: ${random}`, async () => {
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
        const found = await w.messageScripts.find(w.shard, claimed)
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

      it('after a postponement is exactly that, longer than the longest or not', async () => {
        const w = world()
        await put(w, 'a')
        for (const ms of [0, 1, 5_000, 10 * HOUR_MS])
          await waits(w, 'a', (token) => postponed(token, 'a', ms), ms)
        expect((await find(w, 'a'))?.attempts).toBe('4 0')
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
        it(`that may fail makes a dead letter: ${why}`, async () => {
          const w = world()
          await put(w, 'a', { options: { tags: ['t'], retry: { attempts: 3 } } })
          const make = why === 'failed' ? failed : (token: string, id: string) => postponed(token, id, 0)
          for (let n = 1; n <= 2; n += 1) {
            const { token } = await claim(w)
            expect(await release(w, make(token, 'a'))).toEqual({ words: ['released'], trimmed: 0 })
            w.pass(HOUR_MS)
          }
          const { token } = await claim(w)
          const before = await w.now()
          expect(await release(w, make(token, 'a'))).toEqual({ words: ['dead'], trimmed: 0 })
          const found = await find(w, 'a')
          expect(found).toMatchObject({ state: 'dead', attempts: '3 0' })
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
        expect((await find(w, 'a'))?.attempts).toBe('1 2')
      })
    })

    describe('a release', () => {
      it('as rejected makes a dead letter at once, counted as a failure', async () => {
        const w = world()
        await put(w, 'a', { options: { tags: ['t'], destination: webhook('http://a.test') } })
        const { token } = await claim(w)
        expect((await release(w, rejected(token, 'a', 'status 410'))).words).toEqual(['dead'])
        expect(await find(w, 'a')).toMatchObject({
          ...{ state: 'dead', attempts: '1 0', failures: `status 410\n${JSON.stringify(report(1))}` },
        })
        await checkKeys(w)
      })

      it('as returned counts as nothing and leaves no word, for its own time', async () => {
        const w = world()
        await put(w, '~a', { due: { at: 7 }, options: { tags: ['t'] } })
        const { token, claims } = await claim(w)
        expect(await release(w, ...claims.map((one) => returned(token, one)))).toEqual({
          words: ['released'],
          trimmed: 0,
        })
        expect(await find(w, '~a')).toMatchObject({
          state: 'scheduled',
          score: 7,
          attempts: '',
          failures: '',
        })
        expect(await keysIn(w)).toEqual(['messages', 'scheduled_messages', 'tag:t'])
        await checkKeys(w)
      })

      it('as returned keeps the time of the retry that it was', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 7 } })
        await waits(w, 'a', (token) => failed(token, 'a'), 1_000)
        const retryAt = await scoreOf(w, 'a')
        const { token, claims } = await claim(w)
        await release(w, ...claims.map((one) => returned(token, one)))
        expect(await find(w, 'a')).toMatchObject({ score: retryAt, attempts: '1 0', failures: 'timeout' })
      })

      it('keeps the last five reports, newest last, and the last reason', async () => {
        const w = world()
        await put(w, 'a')
        const reportOf = (n: number): AttemptReport => ({ at: n, claim: n, durationMs: n, body: 'a\nb "\\' })
        for (let n = 1; n <= 7; n += 1) {
          const { token } = await claim(w)
          const said = { reason: `reason ${n}`, report: n === 4 ? '' : JSON.stringify(reportOf(n)) }
          await release(w, n === 2 ? { ...postponed(token, 'a', 0), ...said } : failed(token, 'a', said))
          w.pass(60_000)
          // A failure without a report, as a lost lock is, pushes none out.
          const kept = [1, 2, 3, 5, 6, 7].filter((m) => m <= n).slice(-5)
          expect(decodeFailures((await find(w, 'a'))?.failures ?? '')).toEqual({
            reason: `reason ${n}`,
            lastAttempts: kept.map(reportOf),
          })
        }
        await claim(w)
        w.pass(LOCK_MS)
        await claim(w)
        const { failures = '' } = (await find(w, 'a')) ?? {}
        expect(failures.split('\n')).toHaveLength(6)
        expect(failures.startsWith('lock lost\n')).toBe(true)
      })

      it('says what became of each, in its place, and touches none that is lost', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ['a', 'b', 'c', 'd', 'e'].map((id) =>
            entry(id, { options: { retry: { attempts: id === 'c' ? 1 : 9 } } }),
          ),
        )
        const first = await claim(w, { limit: 3 })
        const second = await claim(w)
        await w.client.del(`${w.keys.lockPrefix}b`)
        const before = await find(w, 'b')
        const other = await find(w, 'e')
        const { words } = await release(
          w,
          failed(first.token, 'unknown'),
          failed(first.token, 'a'),
          failed(first.token, 'b'),
          failed(first.token, 'c'),
          rejected(second.token, 'd'),
          returned(first.token, { ...second.claims[1], id: 'e', attemptDueAt: 5 } as never),
        )
        expect(words).toEqual(['lost', 'released', 'lost', 'dead', 'dead', 'lost'])
        expect([await find(w, 'b'), await find(w, 'e')]).toEqual([before, other])
        expect(await w.lockOf('e')).toBe(second.token)
        expect(Object.keys(await w.client.hgetall(w.keys.attempts)).sort()).toEqual(['a', 'c', 'd'])
        await checkKeys(w, w.shard, ['claim-without-lock'])
      })

      it('of a message whose policy was spoilt is as by default, and harms no other', async () => {
        const w = world()
        await put(w, '~a', { options: { tags: ['t'] } })
        await put(w, '~b')
        for (const spoilt of ['{"attempts":"x","minMs":null,"factor":[],"jitter":7}', '7', '{', 'null']) {
          await w.client.hset(w.keys.messages, '~a', `1${JSON.stringify({ r: spoilt, t: ['t'] })}\n"x"`)
          const { token, ids: claimed } = await claim(w)
          expect(claimed).toEqual(['~a', '~b'])
          const { words } = await release(w, failed(token, '~a'), failed(token, '~b'))
          expect(words).toEqual(['released', 'released'])
          await w.client.del(w.keys.attempts)
          w.pass(1_000)
        }
      })

      it('when all are lost changes nothing at all', async () => {
        const w = world()
        await put(w, 'a', { options: { destination: webhook('http://a.test') } })
        const slow = await claim(w)
        w.pass(LOCK_MS)
        await claim(w)
        const { text } = await dump(w)
        const all = [failed(slow.token, 'a'), rejected(slow.token, 'a'), postponed(slow.token, 'a', 1)]
        for (const each of all) expect((await release(w, each)).words).toEqual(['lost'])
        expect((await release(w)).words).toEqual([])
        expect((await dump(w)).text).toBe(text)
      })

      it('takes many claims at once, of many kinds and lanes', async () => {
        const w = world()
        const all = ids(3_000)
        const destinations = [undefined, webhook('http://a.test'), webhook('http://b.test')]
        await w.scripts.schedule(
          w.shard,
          all.map((id, i) => {
            const destination = destinations[i % 3]
            return entry(id, { options: destination === undefined ? {} : { destination } })
          }),
        )
        const { token, claims } = await claim(w)
        const { words, trimmed } = await release(
          w,
          ...claims.map((one, i) =>
            i % 4 === 0
              ? returned(token, one)
              : i % 4 === 1
                ? failed(token, one.id)
                : i % 4 === 2
                  ? rejected(token, one.id)
                  : failed('another', one.id),
          ),
        )
        const expected = ['released', 'released', 'dead', 'lost']
        expect(words).toEqual(claims.map((_, i) => expected[i % 4]))
        expect(trimmed).toBe(0)
        await checkKeys(w)
      })

      it('publishes for the first message of a lane, as scheduling does', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        await put(w, 'a', { options: { destination: webhook('http://a.test') } })
        await put(w, 'q', { options: { destination: pull('q') } })
        const [a, q] = [await claim(w), await claim(w, workerRoom('q'))]
        await heard()
        await release(w, postponed(a.token, 'a', 30_000), postponed(q.token, 'q', 0))
        const texts = await heard()
        stop()
        expect(texts.sort()).toEqual([
          '0 pull:q',
          expect.stringMatching(/^(29\d{3}|30000) webhook:http:\/\/a\.test$/),
        ])
      })
    })

    describe('an expired claim', () => {
      for (const [what, destination, room] of [
        ['the console', undefined, {}],
        ['a webhook', webhook('http://a.test'), {}],
        ['a worker', pull('q'), workerRoom('q')],
      ] as const) {
        it(`for ${what} is recovered a few times, and then its message is dead`, async () => {
          const w = world()
          const options = { tags: ['t'], ...(destination === undefined ? {} : { destination }) }
          await put(w, 'a', { due: { at: 5 }, options })
          const numbers: number[] = []
          for (let recoveries = 0; recoveries <= SETTINGS.maxRecoveries; recoveries += 1) {
            const { claims, recovered, died } = await claim(w, room)
            expect([recovered, died]).toEqual([recoveries === 0 ? 0 : 1, 0])
            expect(claims).toMatchObject([{ id: 'a', failures: 0, recoveries, attemptDueAt: 5 }])
            numbers.push(claims[0]?.number ?? 0)
            expect((await find(w, 'a'))?.failures).toBe(recoveries === 0 ? '' : 'lock lost')
            await checkKeys(w)
            w.pass(LOCK_MS)
          }
          expect(numbers).toEqual([1, 2, 3, 4])
          const last = await claim(w, room)
          expect(last).toMatchObject({ ids: [], recovered: 0, died: 1, trimmed: 0 })
          expect(await find(w, 'a')).toMatchObject({
            ...{ state: 'dead', score: last.now, attempts: '0 3', failures: 'recoveries' },
          })
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
        expect(await find(w, 'a')).toMatchObject({
          ...{ attempts: '1 3', failures: `recoveries\n${JSON.stringify(report(1))}` },
        })
      })

      it('of which there are many goes to the lane of each, at most 500 a call', async () => {
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
          await w.messageScripts.redrive(w.shard, { ids: ['a'], from: null, everyMs: 0, before: 0 })
        }
        expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      })
    })

    describe('acknowledge', () => {
      it('takes claims of several tokens in one call, and names those that are lost', async () => {
        const w = world()
        for (const id of ['a', 'b', 'c', 'd']) {
          await put(w, id, {
            due: { at: 5 },
            options: { tags: ['t'], destination: webhook(`http://${id}.test`) },
          })
        }
        const first = await claim(w, { slots: 2 })
        const second = await claim(w)
        const of = (id: string, token: string, lateMs: number | null) => ({ id, token, lateMs })
        const before = await w.now()
        expect(
          await w.scripts.acknowledge(w.shard, [
            of('c', second.token, 11),
            of('b', second.token, 12),
            of('a', first.token, 13),
            of('nowhere', first.token, 14),
            of('d', second.token, null),
          ]),
        ).toEqual(['b', 'nowhere'])
        const lateOf = async (id: string) => decodeHistoryEntry((await find(w, id))?.record ?? '').lateMs
        expect([await lateOf('a'), await lateOf('c')]).toEqual([13, 11])
        // Without a word on it, it is late by as much as it is now.
        expect(await lateOf('d')).toBeGreaterThanOrEqual(before - 5)
        expect(await lateOf('d')).toBeLessThanOrEqual((await w.now()) - 5)
        expect(await stateOf(w, 'b')).toBe('claimed')
        await checkKeys(w)
        expect(await w.client.hkeys(w.keys.messages)).toEqual(['b'])
      })

      it('keeps in the history what went wrong before, and nothing anywhere else', async () => {
        const w = world()
        await put(w, 'a', {
          payload: 'x'.repeat(2_000),
          options: { tags: ['t'], destination: webhook('http://a.test') },
        })
        await put(w, 'b', { options: { destination: pull('q') } })
        await put(w, 'smooth')
        for (const [id, room] of [
          ['a', { limit: 0 }],
          ['b', workerRoom('q')],
        ] as const) {
          const { token } = await claim(w, room)
          await release(w, failed(token, id, { report: JSON.stringify(report(1)), reason: 'status 503' }))
          w.pass(1_000)
        }
        await claim(w, { limit: 0 })
        w.pass(LOCK_MS)
        expect(await deliver(w, 3)).toEqual(['smooth', 'a'])
        expect(await deliver(w, 4, workerRoom('q'))).toEqual(['b'])
        const entryOf = async (id: string) => decodeHistoryEntry((await find(w, id))?.record ?? '')
        expect(await entryOf('a')).toMatchObject({
          ...{ attempts: '1 1', lateMs: 3, failures: `lock lost\n${JSON.stringify(report(1))}` },
        })
        expect(await entryOf('b')).toMatchObject({
          ...{ attempts: '1 0', failures: `status 503\n${JSON.stringify(report(1))}` },
        })
        expect(decodeFailures((await entryOf('b')).failures).lastAttempts).toEqual([report(1)])
        expect(await entryOf('smooth')).toMatchObject({ attempts: '0 0', failures: '' })
        const { rows } = await w.messageScripts.list(w.shard, {
          ...{ index: 'delivered', from: null, before: null, after: null, limit: 9, bytes: 1e9, keep: 'all' },
        })
        expect(rows.map(({ record }) => decodeHistoryEntry(record).attempts).sort()).toEqual([
          '0 0',
          '1 0',
          '1 1',
        ])
        expect(await keysIn(w)).toEqual(['delivered_messages', 'history', 'seen:a', 'seen:b', 'seen:smooth'])
      })

      it('shows what went wrong so far in lists and in what is found', async () => {
        const w = world()
        await put(w, 'a')
        await put(w, 'b')
        const { token } = await claim(w)
        await release(w, failed(token, 'a', { reason: 'network' }), rejected(token, 'b', 'status 404'))
        const page = { from: null, before: null, after: null, limit: 9, bytes: 1e9, keep: 'all' } as const
        for (const [index, id, failures] of [
          ['scheduled', 'a', 'network'],
          ['dead', 'b', `status 404\n${JSON.stringify(report(1))}`],
        ] as const) {
          const { rows } = await w.messageScripts.list(w.shard, { ...page, index })
          expect(rows).toMatchObject([{ id, attempts: '1 0', failures }])
          expect(await find(w, id)).toMatchObject({ attempts: '1 0', failures })
        }
      })
    })

    describe('extend', () => {
      it('moves the end of a claim, in Redis and for recovery, and tells which were lost', async () => {
        const w = world()
        for (const id of ['a', 'b', 'c', 'd']) await put(w, id)
        const first = await claim(w, { limit: 2 })
        const second = await claim(w)
        await w.client.del(`${w.keys.lockPrefix}b`)
        const untouched = await w.client.zmscore(w.keys.claimed, 'b', 'd')
        w.pass(LOCK_MS / 2)
        const before = await w.now()
        const lockMs = 2 * LOCK_MS
        const held = [
          { id: 'b', token: first.token },
          { id: 'a', token: first.token },
          { id: 'd', token: first.token },
          { id: 'nowhere', token: first.token },
          { id: 'c', token: second.token },
        ]
        expect(await w.scripts.extend(w.shard, { held, lockMs })).toEqual(['b', 'd', 'nowhere'])
        const after = await w.now()
        for (const id of ['a', 'c']) {
          const ends = await scoreOf(w, id)
          expect(ends).toBeGreaterThanOrEqual(before + lockMs)
          expect(ends).toBeLessThanOrEqual(after + lockMs)
          const left = await w.client.pttl(w.keys.lockPrefix + id)
          expect(left).toBeGreaterThan(lockMs - 60_000)
          expect(left).toBeLessThanOrEqual(lockMs)
        }
        expect(await w.client.zmscore(w.keys.claimed, 'b', 'd')).toEqual(untouched)
        expect(await w.client.pttl(`${w.keys.lockPrefix}d`)).toBeLessThanOrEqual(LOCK_MS)
        expect(await w.client.zcard(w.keys.claimed)).toBe(4)
        // Past the first end, those that were not extended are recovered, and no others.
        w.pass(LOCK_MS)
        expect((await claim(w)).ids).toEqual(['b', 'd'])
        w.pass(LOCK_MS)
        expect((await claim(w)).claims.map(({ id, recoveries }) => [id, recoveries])).toContainEqual(['a', 1])
      })

      it('may shorten a claim', async () => {
        const w = world()
        await put(w, 'a')
        const { token } = await claim(w)
        expect(await w.scripts.extend(w.shard, { held: [{ id: 'a', token }], lockMs: 1_000 })).toEqual([])
        expect(await w.client.pttl(`${w.keys.lockPrefix}a`)).toBeLessThanOrEqual(1_000)
        w.pass(1_000)
        expect(await claim(w)).toMatchObject({ ids: ['a'], recovered: 1 })
      })

      it('brings nothing back to the claimed that is there no more', async () => {
        const w = world()
        await w.client.set(`${w.keys.lockPrefix}ghost`, 'mine', 'PX', 60_000)
        expect(
          await w.scripts.extend(w.shard, { held: [{ id: 'ghost', token: 'mine' }], lockMs: 1_000 }),
        ).toEqual([])
        expect(await w.client.exists(w.keys.claimed)).toBe(0)
      })

      it('takes more claims in one call than Lua can unpack', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          ids(8_500).map((id) => entry(id)),
        )
        const { token, ids: all } = await claim(w)
        const held = all.map((id) => ({ id, token }))
        w.pass(LOCK_MS / 2)
        expect(await w.scripts.extend(w.shard, { held, lockMs: LOCK_MS })).toEqual([])
        // Past the end that they had before, with time left for a busy machine.
        w.pass(LOCK_MS * 0.75)
        expect(await claim(w)).toMatchObject({ recovered: 0 })
      })
    })
  })
}
