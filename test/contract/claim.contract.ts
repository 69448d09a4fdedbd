import { describe, expect, it } from 'vitest'
import { claimAll } from '../support/claim-all.ts'
import { delivered, mainRoom } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'
import { postponed } from '../support/values.ts'

const LOCK_MS = 60_000

/** Claiming messages, and ending claims. */
export function describeClaim(kind: string, redisUrl: () => string, shard: number): void {
  describe(`claiming on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    const claim = (w: ScriptWorld, token: string, limit = 100) =>
      claimAll(w.scripts, w.shard, { token, lockMs: LOCK_MS, room: mainRoom(limit) })

    const ids = (reply: { claims: readonly { id: string }[] }) => reply.claims.map(({ id }) => id)

    describe('claim', () => {
      it('numbers its claims higher than all before, also where somebody else has damaged their counter', async () => {
        const w = world()
        const due = async (id: string) => w.scripts.schedule(w.shard, [w.entry(id, (await w.now()) - 1)])
        await due('a')
        const [a] = (await claim(w, 'first')).claims
        await w.client.set(w.keys.claims, 'garbage')
        await due('b')
        const [b] = (await claim(w, 'second')).claims
        await due('c')
        const [c] = (await claim(w, 'third')).claims
        expect([a?.id, b?.id, c?.id]).toEqual(['a', 'b', 'c'])
        expect(b?.number).toBeGreaterThan(a?.number ?? Number.NaN)
        expect(c?.number).toBe((b?.number ?? 0) + 1)
      })

      it('takes what is due and not what is due one millisecond later', async () => {
        const w = world()
        const base = (await w.now()) + 100_000
        await w.scripts.schedule(w.shard, [w.entry('a', base), w.entry('b', base + 3_600_000)])
        expect(ids(await claim(w, 't0'))).toEqual([])
        // The clock runs on while the test does: move it to the very millisecond and look at both sides of it.
        w.pass(base - (await w.now()) - 2_000)
        const early = await claim(w, 't1')
        expect(early.claims).toEqual([])
        expect(early.nextDueInMs).toBe(base - early.now)
        w.pass(2_000)
        const due = await claim(w, 't2')
        expect(ids(due)).toEqual(['a'])
        expect(due.now).toBeGreaterThanOrEqual(base)
        expect(due.nextDueInMs).toBe(base + 3_600_000 - due.now)
      })

      it('returns the record, when it was due, and no attempts the first time', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        const { claims, nextDueInMs } = await claim(w, 't')
        expect(claims).toEqual([
          {
            id: 'a',
            number: 1,
            attemptDueAt: dueAt,
            record: `${dueAt}\n"text of a"`,
            failures: 0,
            recoveries: 0,
          },
        ])
        expect(nextDueInMs).toBeNull()
      })

      it('moves a claimed message out of scheduled and locks it with the token, for as long as asked', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        const { now } = await claim(w, 'mine')
        expect(await w.client.zcard(w.keys.scheduled)).toBe(0)
        expect(await w.client.zscore(w.keys.claimed, 'a')).toBe(String(now + LOCK_MS))
        expect(await w.lockOf('a')).toBe('mine')
        expect(await w.client.pttl(`${w.keys.lockPrefix}a`)).toBeGreaterThan(LOCK_MS - 10_000)
      })

      it('gives a due message to exactly one of many claimers', async () => {
        const w = world()
        const due = (await w.now()) - 5
        await w.scripts.schedule(
          w.shard,
          Array.from({ length: 500 }, (_, i) => w.entry(`m${i}`, due)),
        )
        const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => claim(w, `t${i}`, 40)))
        const all = replies.flatMap(ids)
        expect(all).toHaveLength(500)
        expect(new Set(all).size).toBe(500)
      })

      it('takes no more than the limit, the longest overdue first, and says that more is due', async () => {
        const w = world()
        const now = await w.now()
        await w.scripts.schedule(w.shard, [
          w.entry('late', now - 10),
          w.entry('later', now - 5),
          w.entry('latest', now - 1),
        ])
        const reply = await claim(w, 't', 2)
        expect(ids(reply)).toEqual(['late', 'later'])
        expect(reply.nextDueInMs).toBe(0)
      })

      it('returns fewer than the limit once their records are large', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        const body = `\n"${'x'.repeat(200_000)}"`
        await w.scripts.schedule(
          w.shard,
          Array.from({ length: 120 }, (_, i) => ({
            id: `m${i}`,
            due: { at: dueAt },
            rule: 'any' as const,
            body,
          })),
        )
        const seen = new Set<string>()
        for (let round = 0; seen.size < 120; round += 1) {
          const reply = await claim(w, `t${round}`, 120)
          expect(reply.claims.length).toBeGreaterThan(0)
          expect(reply.claims.length * 200_000).toBeLessThan(6_000_000)
          for (const id of ids(reply)) seen.add(id)
          expect(reply.nextDueInMs).toBe(seen.size < 120 ? 0 : null)
        }
      })

      it('recovers an expired claim, counted apart from failures', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        await claim(w, 'dead')
        w.pass(LOCK_MS - 5_000)
        expect(ids(await claim(w, 'too early'))).toEqual([])
        w.pass(5_000)
        const reply = await claim(w, 'next')
        expect(reply.recovered).toBe(1)
        expect(reply.claims).toEqual([
          {
            id: 'a',
            number: 2,
            attemptDueAt: dueAt,
            record: `${dueAt}\n"text of a"`,
            failures: 0,
            recoveries: 1,
          },
        ])
        expect(await w.lockOf('a')).toBe('next')
      })

      it('never returns a message that another lock holds, and comes back to it when that lock ends', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await w.client.set(`${w.keys.lockPrefix}a`, 'somebody', 'PX', 40_000)
        expect(ids(await claim(w, 't1'))).toEqual([])
        expect(await w.lockOf('a')).toBe('somebody')
        expect(await w.client.hlen(w.keys.messages)).toBe(1)
        w.pass(41_000)
        expect(ids(await claim(w, 't2'))).toEqual(['a'])
      })

      it('is not stuck on a lock that has no end', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await w.client.set(`${w.keys.lockPrefix}a`, 'orphan')
        expect(ids(await claim(w, 't1'))).toEqual([])
        w.pass(LOCK_MS + 1)
        expect(ids(await claim(w, 't2'))).toEqual(['a'])
      })

      it('forgets a due id that has no record', async () => {
        const w = world()
        await w.client.zadd(w.keys.scheduled, 1, 'ghost')
        expect(ids(await claim(w, 't'))).toEqual([])
        expect(await w.snapshot()).toBe('[[],[],{},{}]')
        expect(await w.lockOf('ghost')).toBeNull()
      })
    })

    describe('acknowledge', () => {
      it('removes message, lock and attempts', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await claim(w, 't')
        await w.scripts.release(w.shard, [postponed('t', 'a', 0)])
        await claim(w, 't2')
        expect(await w.client.hlen(w.keys.attempts)).toBe(1)
        expect(await w.scripts.acknowledge(w.shard, delivered('t2', 'a'))).toEqual([])
        expect(await w.snapshot()).toBe('[[],[],{},{}]')
        expect(await w.lockOf('a')).toBeNull()
      })

      it('changes nothing once another claimer holds the lock', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await claim(w, 'slow')
        w.pass(LOCK_MS + 1)
        await claim(w, 'fast')
        const before = await w.snapshot()
        expect(await w.scripts.acknowledge(w.shard, delivered('slow', 'a'))).toEqual(['a'])
        expect(await w.snapshot()).toBe(before)
        expect(await w.lockOf('a')).toBe('fast')
      })

      it('changes nothing when the lock is gone', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await claim(w, 't')
        await w.client.del(`${w.keys.lockPrefix}a`)
        const before = await w.snapshot()
        expect(await w.scripts.acknowledge(w.shard, delivered('t', 'a'))).toEqual(['a'])
        expect(await w.snapshot()).toBe(before)
      })

      it('names only what it no longer owned', async () => {
        const w = world()
        const due = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', due), w.entry('b', due)])
        await claim(w, 't')
        expect(await w.scripts.acknowledge(w.shard, delivered('t', 'a', 'unknown', 'b'))).toEqual(['unknown'])
        expect(await w.snapshot()).toBe('[[],[],{},{}]')
      })
    })

    describe('release', () => {
      it('puts a failed message back with a later time and one more failure, its own due time kept', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        await claim(w, 't')
        await w.scripts.release(w.shard, [postponed('t', 'a', 9_000)])
        expect(await w.lockOf('a')).toBeNull()
        const waiting = await claim(w, 't2')
        expect(waiting.claims).toEqual([])
        expect(waiting.nextDueInMs).toBeGreaterThan(8_000)
        w.pass(9_000)
        const [again] = (await claim(w, 't3')).claims
        expect(again).toMatchObject({ id: 'a', failures: 1, recoveries: 0, record: `${dueAt}\n"text of a"` })
        expect(again?.attemptDueAt).toBeGreaterThanOrEqual(dueAt + 9_000)
      })

      it('puts a returned message back where it was, without an attempt', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        await claim(w, 't')
        await w.scripts.release(w.shard, [{ id: 'a', token: 't', why: 'returned', dueAt }])
        expect((await claim(w, 't2')).claims).toEqual([
          {
            id: 'a',
            number: 2,
            attemptDueAt: dueAt,
            record: `${dueAt}\n"text of a"`,
            failures: 0,
            recoveries: 0,
          },
        ])
      })

      it('changes nothing once another claimer holds the lock', async () => {
        const w = world()
        const dueAt = (await w.now()) - 5
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        await claim(w, 'slow')
        w.pass(LOCK_MS + 1)
        await claim(w, 'fast')
        const before = await w.snapshot()
        const { words } = await w.scripts.release(w.shard, [postponed('slow', 'a', 1)])
        expect(words).toEqual(['lost'])
        expect(await w.snapshot()).toBe(before)
        expect(await w.lockOf('a')).toBe('fast')
      })

      it('counts failures and recoveries side by side', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [w.entry('a', (await w.now()) - 5)])
        await claim(w, 't1')
        await w.scripts.release(w.shard, [postponed('t1', 'a', 0)])
        await claim(w, 't2')
        w.pass(LOCK_MS + 1)
        await claim(w, 't3')
        await w.scripts.release(w.shard, [postponed('t3', 'a', 0)])
        expect((await claim(w, 't4')).claims).toMatchObject([{ id: 'a', failures: 2, recoveries: 1 }])
      })
    })
  })
}
