import { describe, expect, it } from 'vitest'
import { decodeHistoryEntry } from '../../src/records/history.ts'
import { cancel, claim, deliver, fail, put } from '../support/acts.ts'
import { find, keysIn } from '../support/look-ups.ts'
import { keeping, oneOfEach } from '../support/retained.ts'
import { RETENTION } from '../support/retention.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, HOUR_MS, pull, webhook } from '../support/values.ts'

/** What is told of why messages wait, and of those that were cancelled. */
export function describeReasons(kind: string, redisUrl: () => string, shard: number): void {
  describe(`reasons on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a cancelled message', () => {
      it('is in the history with its failures and who cancelled it, until it is too old', async () => {
        const w = world()
        await put(w, 'a', { due: { at: 7 }, options: { tags: ['t'] } })
        await fail(w, HOUR_MS)
        const before = await find(w, 'a')
        const args = { ids: ['a', 'a'], ifMatch: '', states: ['scheduled'] as const }
        expect(await w.scripts.cancel(w.shard, { ...args, by: 'ops' })).toEqual(['cancelled', 'unknown'])
        const found = await find(w, 'a')
        expect(found).toMatchObject({ state: 'cancelled', attemptCounts: '', failures: '' })
        const { finishedAt, ...outcome } = decodeHistoryEntry(found?.record ?? '')
        expect(finishedAt).toBe(found?.score)
        expect(outcome).toEqual({
          ...{
            lateMs: 0,
            attemptCounts: '1 0',
            by: 'ops',
            record: before?.record,
            failures: before?.failures,
          },
        })
        expect(await keysIn(w)).toEqual(['cancellations', 'cancelled_messages'])
        w.pass(RETENTION.historyTtlMs)
        expect(await find(w, 'a')).toBeUndefined()
        await put(w, 'b', { due: { at: (await w.now()) + HOUR_MS } })
        await cancel(w, 'b')
        expect(await w.client.hkeys(w.keys.cancellations)).toEqual(['b'])
      })

      it('leaves keys that end by themselves', async () => {
        const w = world()
        await put(w, 'a', { due: { at: LATER } })
        await cancel(w, 'a')
        for (const key of [w.keys.cancelled, w.keys.cancellations]) {
          const endsIn = await w.client.pttl(key)
          expect(endsIn).toBeGreaterThan(0)
          expect(endsIn).toBeLessThanOrEqual(RETENTION.historyTtlMs)
        }
      })

      it('is forgotten when its id is used again', async () => {
        const w = world()
        await put(w, 'a', { due: { at: LATER } })
        await cancel(w, 'a')
        expect(await put(w, 'a', { due: { at: LATER }, payload: 'y' })).toBe('scheduled')
        expect(await find(w, 'a')).toMatchObject({ state: 'scheduled' })
        expect(await w.client.exists(w.keys.cancelled, w.keys.cancellations)).toBe(0)
      })

      it('is not in the way of the history of others', async () => {
        const w = few()
        await put(w, '~delivered')
        await deliver(w)
        const ids = Array.from({ length: 10 }, (_, i) => `~${i}`)
        await w.scripts.schedule(
          w.shard,
          ids.map((id) => entry(id, { due: { at: LATER } })),
        )
        await w.scripts.cancel(w.shard, { ids, ifMatch: '', states: ['scheduled'] })
        expect(await w.client.zcard(w.keys.cancelled)).toBe(MAX)
        expect(await w.client.hlen(w.keys.cancellations)).toBe(MAX)
        expect(await find(w, '~delivered')).toMatchObject({ state: 'delivered' })
      })
    })

    const MAX = 4
    const few = useScripts(redisUrl, shard, keeping({ historyMax: MAX }))

    describe('why', () => {
      it('tells the state of each message, its lane, and what holds it', async () => {
        const w = world()
        await oneOfEach(w)
        for (const id of ['delivered', 'dropped', 'dead', 'claimed', 'scheduled']) {
          const { found, token, ahead } = await w.scripts.why(w.shard, id)
          expect(found).toEqual(await find(w, id))
          expect([id, ahead, token !== '']).toEqual([id, 0, id === 'claimed'])
        }
      })

      it('counts what was due before a message in its lane', async () => {
        const w = world()
        await w.scripts.schedule(w.shard, [
          ...[3, 1, 2].map((at) =>
            entry(`~h${at}`, { due: { at }, options: { destination: webhook('http://a') } }),
          ),
          ...[1, 2].map((at) => entry(`~q${at}`, { due: { at }, options: { destination: pull('jobs') } })),
          ...[1, 2, 3, 4].map((at) => entry(`~c${at}`, { due: { at } })),
        ])
        const of = async (id: string) => {
          const { lane, ahead } = await w.scripts.why(w.shard, id)
          return [lane, ahead]
        }
        expect(await of('~h3')).toEqual(['webhook:http://a', 2])
        expect(await of('~q1')).toEqual(['pull:jobs', 0])
        expect(await of('~c4')).toEqual(['', 3])
      })

      it('tells of an unknown message how far the history reaches', async () => {
        const w = world()
        expect(await w.scripts.why(w.shard, 'a')).toMatchObject({ found: undefined, oldestAt: null })
        await put(w, '~a')
        await deliver(w)
        const at = await w.client.zscore(w.keys.delivered, '~a')
        w.pass(5_000)
        await put(w, '~b', { due: { at: LATER } })
        await cancel(w, '~b')
        expect((await w.scripts.why(w.shard, 'a')).oldestAt).toBe(Number(at))
      })

      it('tells of a finished message of which only the id is known', async () => {
        const w = bare()
        await put(w, 'a')
        await deliver(w)
        expect((await w.scripts.why(w.shard, 'a')).found).toEqual(await find(w, 'a'))
      })
    })

    const bare = useScripts(redisUrl, shard, keeping({ historyMax: 0 }))

    describe('late', () => {
      it('tells the lanes that are overdue longest, and counts what is overdue in lanes', async () => {
        const w = world()
        const hook = (host: string, at: number) =>
          entry(`~${host}${at}`, { due: { at }, options: { destination: webhook(`http://${host}`) } })
        await w.scripts.schedule(w.shard, [
          ...[hook('a', 5), hook('a', 6), hook('b', 3), hook('c', 7), hook('d', LATER)],
          ...[4, LATER].map((at) =>
            entry(`~q${at}`, { due: { at }, options: { destination: pull('jobs') } }),
          ),
          ...[8, 9].map((at) =>
            entry(`~s${at}`, { due: { at }, options: { destination: { type: 'stream', name: 's' } } }),
          ),
          entry('~c', { due: { at: 2 } }),
        ])
        const { total, oldest } = await w.scripts.lateLanes(w.shard, 2)
        expect(total).toBe(8)
        expect(Object.fromEntries(oldest)).toEqual({
          ...{ '': 2, stream: 8, 'pull:jobs': 4, 'webhook:http://a': 5, 'webhook:http://b': 3 },
        })
        const lanes = ['webhook:http://a', 'pull:jobs', '', 'stream', 'webhook:http://d', 'pull:none']
        expect(await w.scripts.countLate(w.shard, lanes)).toEqual([2, 1, 1, 2, 0, 0])
      })
    })

    describe('asked queues', () => {
      it('are known with the time at which they were last asked', async () => {
        const w = world()
        const from = await w.now()
        await w.scripts.noteAsked(['a', 'b'])
        w.pass(60_000)
        await w.scripts.noteAsked(['b'])
        const [a, b, c] = await w.scripts.lastAsked(['a', 'b', 'c'])
        expect(a).toBeGreaterThanOrEqual(from)
        expect(b).toBeGreaterThanOrEqual(from + 60_000)
        expect(c).toBeNull()
        expect(b).toBeLessThanOrEqual(await w.now())
      })

      it('are forgotten beyond 10,000, those not asked for longest first', async () => {
        const w = world()
        await w.scripts.noteAsked(['old'])
        w.pass(1_000)
        await w.scripts.noteAsked(Array.from({ length: 10_000 }, (_, i) => `q${i}`))
        const [old, first] = await w.scripts.lastAsked(['old', 'q0'])
        expect([old, first === null]).toEqual([null, false])
      })
    })

    describe('the attempt by which a message was delivered', () => {
      it('is in its entry, whatever options it has', async () => {
        const w = world()
        await put(w, '~plain')
        await put(w, 'own', { options: { tags: ['t'] } })
        const { token, ids } = await claim(w)
        await w.scripts.acknowledge(
          w.shard,
          ids.map((id) => ({ id, token, lateMs: 3, attempt: '7 12 204 server' })),
        )
        for (const id of ['~plain', 'own']) {
          const { record } = decodeHistoryEntry((await find(w, id))?.record ?? '')
          const head = record.slice(record.indexOf('{'), record.indexOf('\n'))
          expect(JSON.parse(head)).toMatchObject({ a: '7 12 204 server' })
        }
      })
    })
  })
}

const LATER = 253_402_300_000_000
