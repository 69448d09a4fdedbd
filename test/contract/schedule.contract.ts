import { describe, expect, it } from 'vitest'
import { encodeRecordBody } from '../../src/records/record.ts'
import { listen } from '../support/acts.ts'
import { claimAll } from '../support/claim-all.ts'
import { freshCall } from '../support/fresh-call.ts'
import { keysIn } from '../support/look-ups.ts'
import { delivered, mainRoom } from '../support/retention.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

const LOCK_MS = 60_000

/** Storing messages, once, and telling of the next one. */
export function describeSchedule(kind: string, redisUrl: () => string, shard: number): void {
  describe(`scheduling on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    const claim = (w: ScriptWorld, token: string, limit = 100) =>
      claimAll(w.scripts, w.shard, { token, lockMs: LOCK_MS, room: mainRoom(limit) })

    const ids = (reply: { claims: readonly { id: string }[] }) => reply.claims.map(({ id }) => id)

    describe('schedule', () => {
      it('stores a message under its due time with its record', async () => {
        const w = world()
        const dueAt = (await w.now()) + 60_000
        const { words, nextDueInMs } = await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        expect(words).toEqual(['scheduled'])
        expect(nextDueInMs).toBeGreaterThan(59_000)
        expect(nextDueInMs).toBeLessThanOrEqual(60_000)
        expect(await w.client.zscore(w.keys.scheduled, 'a')).toBe(String(dueAt))
        expect(await w.client.hget(w.keys.messages, 'a')).toBe(`${dueAt}\n"text of a"`)
      })

      it('leaves a message alone whose id is known, and says so, in the place where it stood', async () => {
        const w = world()
        const dueAt = (await w.now()) + 60_000
        await w.scripts.schedule(w.shard, [w.entry('a', dueAt)])
        const { words } = await w.scripts.schedule(w.shard, [
          w.entry('b', dueAt),
          w.entry('a', dueAt + 5),
          w.entry('c', dueAt),
        ])
        expect(words).toEqual(['scheduled', 'exists', 'scheduled'])
        expect(await w.client.zscore(w.keys.scheduled, 'a')).toBe(String(dueAt))
      })

      it('refuses under the rule "future" a due time that has come, and only under that rule', async () => {
        const w = world()
        const past = (await w.now()) - 1
        const { words } = await w.scripts.schedule(w.shard, [
          w.entry('a', past, 'future'),
          w.entry('b', past, 'any'),
        ])
        expect(words).toEqual(['past', 'scheduled'])
        expect(await w.client.hkeys(w.keys.messages)).toEqual(['b'])
      })

      it('takes a due time of this very millisecond for one that has come', async () => {
        const w = world()
        const { words } = await w.scripts.schedule(w.shard, [
          { ...w.entry('a', 0, 'future'), due: { inMs: 0 } },
        ])
        expect(words).toEqual(['past'])
      })

      it('says when the head moved, and only then', async () => {
        const w = world()
        const now = await w.now()
        const at = async (id: string, inMs: number) =>
          (await w.scripts.schedule(w.shard, [w.entry(id, now + inMs)])).nextDueInMs
        expect(await at('a', 60_000)).not.toBeNull()
        expect(await at('b', 60_000)).toBeNull()
        expect(await at('c', 90_000)).toBeNull()
        expect(await at('d', 30_000)).toBeLessThanOrEqual(30_000)
        expect(await at('e', -5_000)).toBe(0)
      })

      it('keeps due times exact up to the last one ISO 8601 can write', async () => {
        const w = world()
        const last = Date.parse('9999-12-31T23:59:59.999Z')
        await w.scripts.schedule(w.shard, [w.entry('a', last)])
        expect(await w.client.zscore(w.keys.scheduled, 'a')).toBe(String(last))
        expect(await w.client.hget(w.keys.messages, 'a')).toMatch(new RegExp(`^${last}\n`))
        const { nextDueInMs } = await claim(w, 't')
        expect(Math.abs((nextDueInMs ?? 0) + (await w.now()) - last)).toBeLessThan(1_000)
      })

      it('takes more messages in one call than Lua can unpack', async () => {
        const w = world()
        const dueAt = (await w.now()) - 1
        const entries = Array.from({ length: 9_001 }, (_, i) => w.entry(`m${i}`, dueAt))
        const { words } = await w.scripts.schedule(w.shard, entries)
        expect(words.every((word) => word === 'scheduled')).toBe(true)
        expect(await w.client.zcard(w.keys.scheduled)).toBe(9_001)
        expect(await w.client.hlen(w.keys.messages)).toBe(9_001)
        const reply = await claim(w, 't', 9_001)
        expect(new Set(ids(reply)).size).toBe(9_001)
        expect(await w.scripts.acknowledge(w.shard, delivered('t', ...ids(reply)))).toEqual([])
        expect(await w.snapshot()).toBe('[[],[],{},{}]')
      })
    })

    describe('a copy of a schedule call', () => {
      it('stores nothing, and is answered as the call was when it ran', async () => {
        const w = world()
        const now = await w.now()
        await w.scripts.schedule(w.shard, [w.entry('taken', now + 3_600_000)])
        const entries = [w.entry('a', now + 60_000), w.entry('taken', now), w.entry('b', now - 1, 'future')]
        const call = freshCall(now)
        const first = await w.scripts.schedule(w.shard, entries, call)
        expect(first).toMatchObject({ words: ['scheduled', 'exists', 'past'], ranAt: first.now })
        const { claims } = await claimAll(w.scripts, w.shard, { token: 't', lockMs: 1, room: mainRoom(0) })
        expect(claims).toEqual([])
        await w.scripts.cancel(w.shard, { ids: ['a'], ifMatch: '', states: ['scheduled'] })
        w.pass(1_000)
        const copy = await w.scripts.schedule(w.shard, entries, { ...call, firstSentAt: now })
        expect(copy).toMatchObject({ words: first.words, ranAt: first.ranAt })
        expect(copy.now).toBeGreaterThanOrEqual(first.now + 1_000)
        expect((copy.nextDueInMs ?? 0) + copy.now).toBe((first.nextDueInMs ?? 0) + first.now)
        expect(await w.client.hkeys(w.keys.messages)).toEqual(['taken'])
      })

      it('stores nothing if it comes later than the call may be run, and until then keeps the answer', async () => {
        const w = world()
        const now = await w.now()
        const call = { ...freshCall(now), runBy: now + 1_000_000 }
        await w.scripts.schedule(w.shard, [w.entry('a', now + 60_000)], call)
        const ttl = await w.client.pttl(w.keys.callPrefix + call.token)
        expect(ttl).toBeGreaterThan(1_000_000 - 10_000)
        expect(ttl).toBeLessThanOrEqual(call.runBy + 1 - now)
        w.pass(1_000_001)
        // Its key ends by Redis's own clock, which no test can move.
        await w.client.del(w.keys.callPrefix + call.token)
        const late = await w.scripts.schedule(w.shard, [w.entry('b', now)], call)
        expect(late.ranAt).toBeNull()
        expect(await w.client.hkeys(w.keys.messages)).toEqual(['a'])
      })

      it.each([
        'scheduled_messages:webhook:https://a.test',
        'lane_messages',
        'hosts',
        'history',
        'streams',
        'call:t',
      ])('stores nothing when it fails because something else is at %s', async (name) => {
        const w = world()
        const now = await w.now()
        const prefix = w.keys.messages.slice(0, -'messages'.length)
        await w.client.lpush(prefix + name, 'not ours')
        const messages = [
          { id: '~1', options: { destination: { type: 'webhook', url: 'https://a.test/x' } } },
          { id: '~2', options: { destination: { type: 'stream', name: 's' } } },
          { id: 'own', options: { tags: ['t'] }, print: 'print' },
        ] as const
        const entries = messages.map(({ id, options, ...own }) => ({
          ...{ id, due: { at: now + 60_000 }, rule: 'print' in own ? ('client' as const) : ('any' as const) },
          body: encodeRecordBody('"x"', options, 'print' in own ? own.print : undefined),
        }))
        const call = { ...freshCall(now), token: 't' }
        await expect(w.scripts.schedule(w.shard, entries, call)).rejects.toThrow('wrong type')
        expect(await keysIn(w)).toEqual(name === 'call:t' ? [] : [name])
        expect(await w.client.exists(w.keys.callPrefix + call.token)).toBe(name === 'call:t' ? 1 : 0)
      })
    })

    describe('publishing', () => {
      it('tells sleeping servers when a message became the next one, and not otherwise', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        const now = await w.now()
        await w.scripts.schedule(w.shard, [w.entry('a', now + 60_000)])
        await w.scripts.schedule(w.shard, [w.entry('b', now + 70_000)])
        await w.scripts.schedule(w.shard, [w.entry('c', now - 1)])
        await claim(w, 't')
        await w.scripts.release(w.shard, [{ id: 'c', token: 't', why: 'returned', dueAt: now - 1 }])
        const texts = await heard()
        stop()
        expect(texts).toHaveLength(3)
        expect(texts[0]).toMatch(/^(5\d{4}|60000) $/)
        expect(texts.slice(1)).toEqual(['0 ', '0 '])
      })
    })
  })
}
