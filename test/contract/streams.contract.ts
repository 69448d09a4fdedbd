import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Destination } from '../../src/domain/message.ts'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { cancel, claim, fail, put, redrive, reject, reschedule } from '../support/acts.ts'
import { LOCK_MS } from '../support/claim-all.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { find, keysIn, stateOf, tagged } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, ids, LAST, webhook } from '../support/values.ts'

const stream = (name = 's', maxLen?: number): Destination => ({
  ...{ type: 'stream', name, ...(maxLen === undefined ? {} : { maxLen }) },
})
const toStream = (name?: string, maxLen?: number) => ({ destination: stream(name, maxLen) })

/** What scripts promise of messages that move into streams. */
export function describeStreams(kind: string, redisUrl: () => string, shard: number): void {
  describe(`streams on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    it('get a message when it falls due, with all that its consumer needs', async () => {
      const w = world()
      const dueAt = (await w.now()) - 5_000
      const tags = ['t', 'ü "\\/']
      const payload = { text: 'a\nb ☃', list: [1, null] }
      await put(w, 'a', { due: { at: dueAt }, payload, options: { ...toStream(), tags } })
      await put(w, '~b', { due: { at: dueAt - 1_000 }, payload: 'b', options: toStream() })
      await put(w, 'other', { due: { at: dueAt + 1 }, options: toStream('other:_.-9') })
      await put(w, 'later', { due: { inMs: HOUR_MS }, options: toStream() })
      await checkKeys(w)
      const reply = await claim(w)
      expect(reply).toMatchObject({ ids: [], died: 0, dropped: 0, heldBack: false })
      const late = [reply.now - dueAt + 1_000, reply.now - dueAt, reply.now - dueAt - 1]
      expect(reply.moved).toEqual(late)
      const all = await checkKeys(w)
      expect(all.stream(`${w.keys.streamPrefix}s`).map(([, fields]) => fields)).toEqual([
        {
          ...{ id: '~b', payload: '"b"', at: new Date(dueAt - 1_000).toISOString() },
          ...{ lateMs: String(late[0]), tags: '[]' },
        },
        {
          ...{ id: 'a', payload: JSON.stringify(payload), at: new Date(dueAt).toISOString() },
          ...{ lateMs: String(late[1]), tags: expect.any(String) },
        },
      ])
      const [, second] = all.stream(`${w.keys.streamPrefix}s`)
      expect(Object.keys(second?.[1] ?? {})).toEqual(['id', 'payload', 'at', 'lateMs', 'tags'])
      expect(JSON.parse(second?.[1].tags ?? '')).toEqual(tags)
      expect(all.stream(`${w.keys.streamPrefix}other:_.-9`)).toHaveLength(1)
      expect(await w.client.hkeys(w.keys.messages)).toEqual(['later'])
    })

    it('get it once, however often is claimed, and it is delivered', async () => {
      const w = world()
      await put(w, 'a', { due: { at: 7 }, options: { ...toStream(), tags: ['t'] } })
      const { now } = await claim(w)
      for (let i = 0; i < 3; i += 1) expect((await claim(w)).moved).toEqual([])
      w.pass(2 * LOCK_MS)
      expect((await claim(w)).moved).toEqual([])
      expect(await w.client.xlen(`${w.keys.streamPrefix}s`)).toBe(1)
      const found = await find(w, 'a')
      expect(found).toMatchObject({ state: 'delivered', score: now })
      expect(decodeHistoryEntry(found?.record ?? '')).toMatchObject({ lateMs: now - 7, attemptCounts: '0 0' })
      expect(await put(w, 'a', { due: { at: 7 }, options: { ...toStream(), tags: ['t'] } })).toBe('duplicate')
      expect(await tagged(w, 't')).toEqual([])
      expect(await keysIn(w)).toEqual(['delivered_messages', 'history', 'seen:a', 'stream:s', 'streams'])
    })

    it('get it once though many claim at once', async () => {
      const w = world()
      await w.scripts.schedule(
        w.shard,
        ids(600).map((id, i) => entry(id, { options: i % 2 === 0 ? toStream() : {} })),
      )
      const replies = await Promise.all(Array.from({ length: 20 }, () => claim(w, { limit: 31 })))
      expect(replies.flatMap(({ moved }) => moved)).toHaveLength(300)
      expect(new Set(replies.flatMap((reply) => reply.ids)).size).toBe(300)
      const entries = (await checkKeys(w)).stream(`${w.keys.streamPrefix}s`)
      expect(new Set(entries.map(([, { id }]) => id)).size).toBe(300)
      expect(entries).toHaveLength(300)
    })

    it('get it late by its own time, though tried again: the claim tells how late after that', async () => {
      const w = world()
      const dueAt = (await w.now()) - 5_000
      await put(w, 'a', { due: { at: dueAt } })
      await fail(w, 60_000)
      await reschedule(w, 'a', { options: toStream() })
      const retryAt = (await find(w, 'a'))?.score ?? 0
      w.pass(61_000)
      const reply = await claim(w)
      expect(reply.moved).toEqual([reply.now - retryAt])
      const [first] = (await dump(w)).stream(`${w.keys.streamPrefix}s`)
      expect(first?.[1]).toMatchObject({
        at: new Date(dueAt).toISOString(),
        lateMs: String(reply.now - dueAt),
      })
      const outcome = decodeHistoryEntry((await find(w, 'a'))?.record ?? '')
      expect(outcome).toMatchObject({ attemptCounts: '1 0', failures: 'busy', lateMs: reply.now - dueAt })
      expect(await w.client.exists(w.keys.attempts, w.keys.failures)).toBe(0)
    })

    it('keep to their longest length exactly, where the message says one', async () => {
      const w = world()
      const payloads = async () =>
        (await dump(w)).stream(`${w.keys.streamPrefix}s`).map(([, { payload }]) => payload)
      for (let i = 1; i <= 7; i += 1) {
        await put(w, `m${i}`, { payload: i, options: toStream('s', 3) })
        await claim(w)
      }
      expect(await payloads()).toEqual(['5', '6', '7'])
      await put(w, 'm8', { payload: 8, options: toStream() })
      await claim(w)
      expect(await payloads()).toEqual(['5', '6', '7', '8'])
      await put(w, 'm9', { payload: 9, options: toStream('s', 1) })
      await claim(w)
      expect(await payloads()).toEqual(['9'])
    })

    it('are listed from scheduling on, and stay', async () => {
      const w = world()
      const listed = async () => (await w.scripts.streams(w.shard)).sort()
      expect(await listed()).toEqual([])
      await put(w, 'a', { due: { inMs: HOUR_MS }, options: toStream('first') })
      await put(w, 'refused', { due: { at: 100 }, options: { ...toStream('never'), notAfter: 99 } })
      expect(await listed()).toEqual(['first'])
      await reschedule(w, 'a', { options: toStream('second', 5) })
      expect(await listed()).toEqual(['first', 'second'])
      await put(w, 'b', { options: { destination: webhook('http://a.test') } })
      await reject(w)
      await reschedule(w, 'b', { options: toStream('third') })
      await checkKeys(w)
      expect(await listed()).toEqual(['first', 'second', 'third'])
      await redrive(w, ['b'])
      await w.client.del(w.keys.streams)
      expect((await claim(w)).moved).toHaveLength(1)
      expect(await listed()).toEqual(['third'])
      await cancel(w, 'a')
      expect(await listed()).toEqual(['third'])
    })

    it('make dead letters of messages whose key holds another type, and harm no other', async () => {
      const w = world()
      await w.client.set(`${w.keys.streamPrefix}text`, 'something else')
      await w.scripts.schedule(w.shard, [
        entry('a', { due: { at: 1 }, options: toStream() }),
        entry('wrong', { due: { at: 2 }, options: { ...toStream('text'), tags: ['t'] } }),
        entry('wrong too', { due: { at: 3 }, options: toStream('text', 5) }),
        entry('b', { due: { at: 4 }, options: toStream() }),
        entry('c', { due: { at: 5 } }),
      ])
      const reply = await claim(w)
      expect(reply).toMatchObject({ ids: ['c'], died: 2 })
      expect(reply.moved).toHaveLength(2)
      expect(await find(w, 'wrong')).toMatchObject({
        ...{ state: 'dead', score: reply.now, attemptCounts: '', failures: 'not a stream' },
      })
      expect(await stateOf(w, 'wrong too')).toBe('dead')
      await checkKeys(w, w.shard, ['wrong-type'])
      expect(await w.client.get(`${w.keys.streamPrefix}text`)).toBe('something else')
      await w.client.del(`${w.keys.streamPrefix}text`)
      await redrive(w, ['wrong'])
      expect((await claim(w)).moved).toHaveLength(1)
      const [moved] = (await checkKeys(w)).stream(`${w.keys.streamPrefix}text`)
      expect(moved?.[1]).toMatchObject({ id: 'wrong', tags: '["t"]' })
    })

    it('get nothing of a message whose payload somebody else has damaged: it is left to the caller', async () => {
      const w = world()
      const damaged = ['', '{"a":', '{a:1}', '[1,', '[x]', '"a', 'nonsense', '-', '1.', 'nul']
      const sound = ['{}', '[]', '{"a":{}}', '[[]]', '""', '-0', '1e9', 'null', 'true', '[false]', ' [ 1 ] ']
      for (const [i, payload] of [...damaged, ...sound].entries()) {
        await put(w, `m${i}`, { due: { at: i + 1 }, options: toStream() })
        const record = (await w.client.hget(w.keys.messages, `m${i}`)) ?? ''
        await w.client.hset(
          w.keys.messages,
          `m${i}`,
          record.replace(/\n.*/, () => `\n${payload}`),
        )
      }
      expect((await claim(w)).ids).toEqual(damaged.map((_, i) => `m${i}`))
      const entries = (await dump(w)).stream(`${w.keys.streamPrefix}s`)
      expect(entries.map(([, { payload }]) => payload)).toEqual(sound)
    })

    it('get nothing that is dropped or dead for being late', async () => {
      const w = world()
      await put(w, 'dropped', { options: { ...toStream(), notAfter: 1, onLate: 'drop' } })
      await put(w, 'dead', { options: { ...toStream(), notAfter: 1, onLate: 'dead-letter' } })
      await put(w, 'anyway', { options: { ...toStream(), notAfter: 1, onLate: 'deliver' } })
      expect(await claim(w)).toMatchObject({ dropped: 1, died: 1 })
      const entries = (await checkKeys(w)).stream(`${w.keys.streamPrefix}s`)
      expect(entries.map(([, { id }]) => id)).toEqual(['anyway'])
    })

    it('are fed within a limit of their own, whatever there is room for besides, and take no slot', async () => {
      const w = world()
      await put(w, 'a', { options: toStream() })
      await put(w, 'b', { due: { at: 2 }, options: toStream() })
      expect(await claim(w, { streamLimit: 0 })).toMatchObject({ moved: [], nextDueInMs: null })
      expect(await claim(w, { limit: 0, streamLimit: 1, slots: 0 })).toMatchObject({
        moved: [expect.any(Number)],
        nextDueInMs: 0,
      })
      expect((await claim(w, { limit: 0, streamLimit: 1, hostSlots: 0 })).moved).toHaveLength(1)
    })

    it('have times in ISO 8601, whatever the time', async () => {
      const w = world()
      const day = 86_400_000
      const turns = [1970, 1972, 1999, 2000, 2001, 2100, 2104, 2399, 2400, 2401, 9996, 9999].flatMap((year) =>
        [0, 1, 2, 11].flatMap((month) => [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 0)]),
      )
      const around = turns.flatMap((ms) => [ms - 1, ms, ms + 1, ms + day - 1, ms + day])
      const random = fc.sample(fc.integer({ min: 0, max: LAST }), 2_000)
      const times = [...new Set([0, 999, 1_000, LAST, ...around, ...random])].filter(
        (ms) => ms >= 0 && ms <= LAST,
      )
      w.pass(LAST - (await w.now()))
      await w.scripts.schedule(
        w.shard,
        times.map((at) => entry(`~${at}`, { due: { at }, options: toStream() })),
      )
      expect((await claim(w)).moved).toHaveLength(times.length)
      const entries = (await dump(w)).stream(`${w.keys.streamPrefix}s`)
      const wrong = entries.filter(([, { id, at }]) => at !== new Date(Number(id?.slice(1))).toISOString())
      expect(wrong).toEqual([])
      expect(entries).toHaveLength(times.length)
    })
  })
}
