import { describe, expect, it } from 'vitest'
import { originOf } from '../../src/destinations/webhook/origin.ts'
import { decodeRecord } from '../../src/records/record.ts'
import { laneOfQueue } from '../../src/store/keys.ts'
import type { Index, Keep } from '../../src/store/scripts/search.ts'
import { cancel, claim, inSteps, put, reschedule, shift } from '../support/acts.ts'
import { workerRoom } from '../support/claim-all.ts'
import { checkKeys } from '../support/invariants.ts'
import { lanesOf, ONE, TWO, toHost, toQueue } from '../support/lanes.ts'
import { find, stateOf } from '../support/look-ups.ts'
import { useScripts } from '../support/script-world.ts'
import { entry, FIRST_PAGE, HOUR_MS, ids, returned, webhook } from '../support/values.ts'

/** What a lane contains. */
export function describeLanes(kind: string, redisUrl: () => string, shard: number): void {
  describe(`lanes on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('a lane', () => {
      it('holds the messages of one host or queue, apart from all others', async () => {
        const w = world()
        const due = { inMs: HOUR_MS }
        await inSteps(
          w,
          () => put(w, 'console', { due }),
          () => put(w, 'one', { due, options: toHost() }),
          () => put(w, 'one too', { due, options: { destination: webhook(ONE, '/a/b?c#d') } }),
          () => put(w, 'two', { due, options: toHost(TWO) }),
          () => put(w, 'stream', { due, options: { destination: { type: 'stream', name: 's' } } }),
          () => put(w, 'q', { due, options: toQueue() }),
          () => put(w, 'r', { due, options: toQueue('r') }),
        )
        expect(await lanesOf(w)).toEqual({
          '': ['console'],
          stream: ['stream'],
          'webhook:https://one.test': ['one', 'one too'],
          'webhook:https://two.test': ['two'],
          'pull:q': ['q'],
          'pull:r': ['r'],
        })
      })

      it('is told from the URL as the code that counts slots does it', async () => {
        const w = world()
        const urls = [
          ...['http://a.test', 'http://a.test/', 'HTTP://A.Test/x', 'http://a.test:80', 'https://a.test'],
          ...['http://a.test?q', 'http://a.test#f', 'http://ÉX.test/', 'http://[::1]:1/', 'http://a"b/'],
          ...[
            'http://\u212a.test/',
            'http://☃.test/é',
            'http://a.test\\b',
            'http://{x}/"',
            'http://%41.test/',
          ],
        ]
        for (const [i, url] of urls.entries()) {
          const options = {
            destination: { type: 'webhook', url, headers: { 'x-url': 'http://no.test/' } },
          } as const
          await put(w, `u${i}`, { options })
          // The checker compares the place with the code's.
          expect(Object.keys(await lanesOf(w))).toContain(`webhook:${originOf(url)}`)
        }
        expect(await w.client.zcard(`${w.keys.scheduled}:webhook:http://a.test`)).toBe(8)
        await put(w, 'queue', { options: toQueue('a.b:c-d_e') })
        expect(Object.keys(await lanesOf(w))).toContain(laneOfQueue('a.b:c-d_e'))
      })

      it('is one for all spellings of a host, which it keeps', async () => {
        const w = world()
        const urls = ['127.1', '127.0.0.1', '127.0.0.1:80', '0x7f000001', '127.0.0.1.'].map(
          (host) => `http://${host}/a`,
        )
        for (const [i, url] of urls.entries())
          await put(w, `u${i}`, { options: { destination: { type: 'webhook', url } } })
        const lane = 'webhook:http://127.0.0.1'
        expect((await lanesOf(w))[lane as '']).toEqual(['u0', 'u1', 'u2', 'u3', 'u4'])
        const first = await claim(w, { slots: 9, hostSlots: 4 })
        expect(first.ids).toHaveLength(4)
        const records = first.claims.map(({ record }) => decodeRecord(record))
        expect(records.map(({ destination }) => destination?.url)).toEqual(urls.slice(0, 4))
        await w.scripts.release(
          w.shard,
          first.claims.map((one) => returned(first.token, one)),
        )
        await shift(w, ['u1'], HOUR_MS)
        await reschedule(w, 'u2', { options: { destination: webhook('http://other.test:80') } })
        await cancel(w, 'u3')
        expect(await lanesOf(w)).toEqual({
          '': [],
          [lane]: ['u0', 'u4', 'u1'],
          'webhook:http://other.test': ['u2'],
        })
      })

      it('is that of the spelling for a message of a version before, until it gets another destination', async () => {
        const w = world()
        const destination = { type: 'webhook', url: 'http://127.1:80/a' } as const
        const now = await w.now()
        const body = `${JSON.stringify({ d: JSON.stringify(destination) })}\n1`
        const entries = ids(4).map((id) => ({ ...entry(id, { due: { at: now - 1_000 } }), body }))
        await w.scripts.schedule(w.shard, entries)
        const old = 'webhook:http://127.1:80'
        const [a = '', b = '', c = '', d = ''] = ids(4)
        expect(await lanesOf(w)).toEqual({ '': [], [old]: [a, b, c, d] })
        // It counts by that name, too, or the claim would not hear of what is under way.
        const { claims, token } = await claim(w, { slots: 9, hostSlots: 9, lanes: new Map([[old, 2]]) })
        expect(claims.map(({ record }) => decodeRecord(record).lane)).toEqual([old, old])
        await w.scripts.release(
          w.shard,
          claims.map((one) => returned(token, one)),
        )
        await reschedule(w, c, { options: { destination } })
        await cancel(w, d)
        expect(await lanesOf(w)).toEqual({ '': [], [old]: [a, b], 'webhook:http://127.0.0.1': [c] })
      })

      it('is chosen by the destination alone, whatever the payload and the tags look like', async () => {
        const w = world()
        const looks = '{"type":"pull","queue":"q"}'
        await put(w, 'a', { payload: { d: looks }, options: { tags: [looks, '{"d":"x'] } })
        await put(w, 'b', { options: { destination: { type: 'stream', name: 'pull:q' } } })
        expect(await lanesOf(w)).toEqual({ '': ['a'], stream: ['b'] })
      })

      it('takes more messages in one call than Lua can unpack, and gives them back', async () => {
        const w = world()
        const entries = ids(8_402).map((id, i) => entry(id, { options: i % 2 === 0 ? toHost() : toQueue() }))
        await w.scripts.schedule(w.shard, entries)
        await checkKeys(w)
        const first = await claim(w)
        const second = await claim(w, workerRoom('q'))
        expect([first.ids.length, second.ids.length]).toEqual([4_201, 4_201])
        await checkKeys(w)
        for (const { claims, token } of [first, second]) {
          const { words } = await w.scripts.release(
            w.shard,
            claims.map((one) => returned(token, one)),
          )
          expect(new Set(words)).toEqual(new Set(['released']))
        }
        await checkKeys(w)
        expect(await w.client.zcard(w.keys.laned)).toBe(8_402)
      })

      it('is changed with the destination, and both lanes tell their first message', async () => {
        const w = world()
        const now = await w.now()
        await put(w, 'stays', { due: { at: now + 9_000 }, options: toHost() })
        await put(w, 'a', { due: { at: now + 5_000 }, options: toHost() })
        const to = async (change: Parameters<typeof reschedule>[2]) => {
          expect(await reschedule(w, 'a', change)).toMatchObject({
            word: 'rescheduled',
            found: { state: 'scheduled' },
          })
          return lanesOf(w)
        }
        const host = `webhook:${ONE}`
        expect(await to({ options: { destination: undefined } })).toEqual({ '': ['a'], [host]: ['stays'] })
        expect(await to({ options: toQueue() })).toEqual({ '': [], [host]: ['stays'], 'pull:q': ['a'] })
        expect(await to({ due: { at: now + 8_000 } })).toEqual({ '': [], [host]: ['stays'], 'pull:q': ['a'] })
        expect(await to({ payload: 'y' })).toEqual({ '': [], [host]: ['stays'], 'pull:q': ['a'] })
        expect(await to({ options: toHost(TWO) })).toMatchObject({ [`webhook:${TWO}`]: ['a'] })
        expect(await to({ due: { at: now + 9_500 }, options: toHost() })).toEqual({
          '': [],
          [host]: ['stays', 'a'],
        })
        expect(await cancel(w, 'stays')).toBe('cancelled')
        expect(await lanesOf(w)).toEqual({ '': [], [host]: ['a'] })
        expect(await cancel(w, 'a')).toBe('cancelled')
        expect(await lanesOf(w)).toEqual({ '': [] })
      })

      it('says when a change brought its first message, and only then', async () => {
        const w = world()
        const now = await w.now()
        await put(w, 'main', { due: { at: now + 10_000 } })
        await put(w, 'host', { due: { at: now + 20_000 }, options: toHost() })
        await put(w, 'a', { due: { at: now + 15_000 } })
        const head = async (change: Parameters<typeof reschedule>[2]) => {
          const reply = await reschedule(w, 'a', change)
          return reply.word === 'rescheduled' ? reply.nextDueInMs : reply.word
        }
        expect(await head({ payload: 'y' })).toBeNull()
        expect(await head({ options: toHost() })).toBeGreaterThan(10_000)
        expect(await head({ options: toQueue() })).toBeNull()
        expect(await head({ options: { destination: undefined } })).toBeNull()
        const { nextDueInMs, nextDueLane } = await w.scripts.schedule(w.shard, [
          entry('q', { due: { at: 1 }, options: toQueue() }),
          entry('b', { due: { at: now + 18_000 }, options: toHost() }),
          entry('c', { due: { at: now + 19_000 }, options: toHost(TWO) }),
        ])
        expect(nextDueInMs).toBeGreaterThan(10_000)
        expect(nextDueInMs).toBeLessThanOrEqual(18_000)
        expect(nextDueLane).toMatch(/^webhook:/)
      })

      it('moves with shift, its index too', async () => {
        const w = world()
        const due = { at: 100_000 }
        for (const [id, options] of [
          ['main', {}],
          ['host', toHost()],
          ['queue', toQueue()],
        ] as const) {
          await put(w, id, { due, options: { ...options, tags: ['t'] } })
        }
        expect(await shift(w, ['main', 'host', 'queue'], -40_000)).toMatchObject({
          shifted: 3,
          nextDueInMs: 0,
        })
        const all = await checkKeys(w)
        expect([...all.map(w.keys.hosts).values(), ...all.map(w.keys.queues).values()]).toEqual([
          '60000',
          '60000',
        ])
        expect(await shift(w, ['queue', 'host'], 5)).toMatchObject({ shifted: 2, nextDueInMs: null })
        expect(Object.fromEntries((await checkKeys(w)).map(w.keys.laned))).toEqual({
          host: '60005',
          queue: '60005',
        })
        for (const [id, dueAt] of [
          ['main', 60_000],
          ['host', 60_005],
        ] as const) {
          expect(await find(w, id)).toMatchObject({ state: 'scheduled', score: dueAt })
          expect(decodeRecord((await find(w, id))?.record ?? '').dueAt).toBe(dueAt)
        }
      })

      it('is in the forecast, in lists and in what is found', async () => {
        const w = world()
        await put(w, 'main', { due: { at: 15 }, options: { tags: ['t'] } })
        await put(w, 'host', { due: { at: 25 }, options: { ...toHost(), tags: ['t'] } })
        await put(w, 'queue', { due: { at: 29 }, options: toQueue() })
        const toStream = { destination: { type: 'stream', name: 's' }, tags: ['t'] } as const
        await put(w, 'stream', { due: { at: 4_000_000_000_000 }, options: toStream })
        expect(await w.scripts.forecast(w.shard, { from: 10, to: 30, bucketMs: 10 })).toEqual([1, 2])
        expect(await w.scripts.forecast(w.shard, { from: 4e12, to: 4e12 + 1_000, bucketMs: 1_000 })).toEqual([
          1,
        ])
        const listed = async (index: Index, keep: Keep = {}) =>
          (await w.scripts.list(w.shard, { ...FIRST_PAGE, index, keep })).rows.map(({ id }) => id)
        expect(await listed('scheduled')).toEqual(['main'])
        expect(await listed('laned')).toEqual(['host', 'queue'])
        expect(await listed('forStreams')).toEqual(['stream'])
        expect(await w.scripts.count(w.shard)).toMatchObject({ scheduled: 4 })
        expect(await stateOf(w, 'stream')).toBe('scheduled')
        expect(await listed({ tag: 't' }, { state: 'scheduled' })).toEqual(['main', 'host', 'stream'])
        await claim(w)
        expect(await listed({ tag: 't' }, { state: 'scheduled' })).toEqual(['stream'])
        expect(await listed({ tag: 't' })).toEqual(['main', 'host', 'stream'])
        expect(await stateOf(w, 'queue')).toBe('scheduled')
        expect(await w.scripts.forecast(w.shard, { from: 10, to: 30, bucketMs: 10 })).toEqual([0, 1])
      })
    })
  })
}
