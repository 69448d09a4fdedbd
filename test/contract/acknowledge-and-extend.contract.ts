import { describe, expect, it } from 'vitest'
import { decodeFailures, decodeHistoryEntry } from '../../src/records/history.ts'
import { claim, deliver, put } from '../support/acts.ts'
import { LOCK_MS, workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { find, keysIn, scoreOf, stateOf, withoutEvents } from '../support/look-ups.ts'
import { failed, PATIENT, release } from '../support/releases.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, FIRST_PAGE, ids, pull, rejected, report, webhook } from '../support/values.ts'

/** Only the owner of a lock acknowledges and extends. */
export function describeAcknowledgeAndExtend(kind: string, redisUrl: () => string, shard: number): void {
  describe(`locks on ${kind}`, () => {
    const world = useScripts(redisUrl, shard, PATIENT)

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
        const { failures, ...rest } = await entryOf('a')
        expect(rest).toMatchObject({ attemptCounts: '1 1', lateMs: 3 })
        expect(failures).toMatch(/^lock lost\n.*\n\{"recovered":\d+\}$/)
        expect(withoutEvents(failures)).toBe(`lock lost\n${JSON.stringify(report(1))}`)
        expect(await entryOf('b')).toMatchObject({
          ...{ attemptCounts: '1 0', failures: `status 503\n${JSON.stringify(report(1))}` },
        })
        expect(decodeFailures((await entryOf('b')).failures).lastAttempts).toEqual([report(1)])
        expect(await entryOf('smooth')).toMatchObject({ attemptCounts: '0 0', failures: '' })
        const { rows } = await w.scripts.list(w.shard, {
          ...{ ...FIRST_PAGE, index: 'delivered' },
        })
        expect(rows.map(({ record }) => decodeHistoryEntry(record).attemptCounts).sort()).toEqual([
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
        for (const [index, id, failures] of [
          ['scheduled', 'a', 'network'],
          ['dead', 'b', `status 404\n${JSON.stringify(report(1))}`],
        ] as const) {
          const { rows } = await w.scripts.list(w.shard, { ...FIRST_PAGE, index })
          expect(rows).toMatchObject([{ id, attemptCounts: '1 0', failures }])
          expect(await find(w, id)).toMatchObject({ attemptCounts: '1 0', failures })
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
