import { describe, expect, it } from 'vitest'
import type { AttemptReport } from '../../src/domain/message.ts'
import { decodeFailures } from '../../src/records/history.ts'
import { claim, listen, put } from '../support/acts.ts'
import { LOCK_MS, workerRoom } from '../support/claim-all.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { find, keysIn, scoreOf } from '../support/look-ups.ts'
import { failed, PATIENT, release, waits } from '../support/releases.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, ids, postponed, pull, rejected, report, returned, webhook } from '../support/values.ts'

/** Claims that are released. */
export function describeReleases(kind: string, redisUrl: () => string, shard: number): void {
  describe(`releases on ${kind}`, () => {
    const world = useScripts(redisUrl, shard, PATIENT)

    describe('a release', () => {
      it('makes a dead letter of a rejected message at once, counted as a failure', async () => {
        const w = world()
        await put(w, 'a', { options: { tags: ['t'], destination: webhook('http://a.test') } })
        const { token } = await claim(w)
        expect((await release(w, rejected(token, 'a', 'status 410'))).words).toEqual(['dead'])
        expect(await find(w, 'a')).toMatchObject({
          ...{ state: 'dead', attemptCounts: '1 0', failures: `status 410\n${JSON.stringify(report(1))}` },
        })
        await checkKeys(w)
      })

      it('counts no attempt and records nothing for a returned message, which keeps its time', async () => {
        const w = world()
        await put(w, '~a', { due: { at: 7 }, options: { tags: ['t'] } })
        const { token, claims } = await claim(w)
        expect(await release(w, ...claims.map((one) => returned(token, one)))).toMatchObject({
          words: ['released'],
          trimmed: 0,
        })
        expect(await find(w, '~a')).toMatchObject({
          state: 'scheduled',
          score: 7,
          attemptCounts: '',
          failures: '',
        })
        expect(await keysIn(w)).toEqual(['messages', 'scheduled_messages', 'tag:t'])
        await checkKeys(w)
      })

      it('counts nothing for a deferred message, which is due again after exactly its delay', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 7 }, options: { tags: ['t'], destination: webhook('http://a.test') } })
        for (const delayMs of [5_000, 0]) {
          await waits(w, 'a', (token) => ({ id: 'a', token, why: 'deferred', delayMs }), delayMs)
          expect(await find(w, 'a')).toMatchObject({ state: 'scheduled', attemptCounts: '', failures: '' })
        }
      })

      it('keeps the retry time of a returned message', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 7 } })
        await waits(w, 'a', (token) => failed(token, 'a'), 1_000)
        const retryAt = await scoreOf(w, 'a')
        const { token, claims } = await claim(w)
        await release(w, ...claims.map((one) => returned(token, one)))
        expect(await find(w, 'a')).toMatchObject({
          score: retryAt,
          attemptCounts: '1 0',
          failures: 'timeout',
        })
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
        expect(failures.split('\n')).toHaveLength(7)
        expect(failures).toMatch(/^lock lost\n.*\n\{"recovered":\d+\}$/s)
        expect(decodeFailures(failures).lastAttempts).toHaveLength(5)
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

      it('follows the default policy where the stored one is corrupt, and harms no other message', async () => {
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

      it('changes nothing when every lock is lost', async () => {
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
  })
}
