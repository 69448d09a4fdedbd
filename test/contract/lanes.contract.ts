import { describe, expect, it } from 'vitest'
import { decodeRecord, encodeRecordBody } from '../../src/domain/message.ts'
import { originOf } from '../../src/domain/webhook-origin.ts'
import { laneOfHost, laneOfQueue } from '../../src/store/keys.ts'
import type { ClaimRoom } from '../../src/store/scripts/scripts.ts'
import {
  cancel,
  claim,
  deliver,
  entry,
  fail,
  find,
  HOUR_MS,
  ids,
  inSteps,
  LAST,
  LOCK_MS,
  listen,
  pull,
  put,
  reject,
  reschedule,
  returned,
  shift,
  stateOf,
  webhook,
  workerRoom,
} from '../support/acts.ts'
import { checkKeys, dump } from '../support/invariants.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

const [ONE, TWO, THREE] = ['https://one.test', 'https://two.test', 'http://three.test:8080']
const toHost = (host = ONE) => ({ destination: webhook(host) })
const toQueue = (queue = 'q') => ({ destination: pull(queue) })

/** What lies in the main due set and in each lane, and what the indexes say. */
async function lanesOf(w: ScriptWorld) {
  const { keys } = w
  const all = await checkKeys(w)
  const lanes = all.behind(`${keys.scheduled}:`)
  return {
    '': [...all.map(keys.scheduled).keys()],
    ...Object.fromEntries(lanes.map((lane) => [lane, [...all.map(`${keys.scheduled}:${lane}`).keys()]])),
  }
}

const firstPuts = new WeakMap<ScriptWorld, number>()

/**
 * Schedules messages by their lane: each "<id>" of a host due so many ms before the first call of the test, as only from
 * one time is it certain which of two hosts has waited longer.
 *
 * @returns that time
 */
async function putAll(w: ScriptWorld, host: string, messages: Record<string, number>): Promise<number> {
  const now = firstPuts.get(w) ?? (await w.now())
  firstPuts.set(w, now)
  await w.scripts.schedule(
    w.shard,
    Object.entries(messages).map(([id, agoMs]) =>
      entry(id, { due: { at: now - agoMs }, options: host === '' ? {} : toHost(host) }),
    ),
  )
  return now
}

/** What scripts promise of messages whose destination can hold them back. */
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
          expect(Object.keys(await lanesOf(w))).toContain(laneOfHost(originOf(url)))
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
        expect(records.map(({ destination }) => (destination as { url: string }).url)).toEqual(
          urls.slice(0, 4),
        )
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
        expect(claims.map(({ record }) => decodeRecord(record).hostOrigin)).toEqual([
          'http://127.1:80',
          'http://127.1:80',
        ])
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
          return reply.word === 'rescheduled' ? reply.headInMs : reply.word
        }
        expect(await head({ payload: 'y' })).toBeNull()
        expect(await head({ options: toHost() })).toBeGreaterThan(10_000)
        expect(await head({ options: toQueue() })).toBeNull()
        expect(await head({ options: { destination: undefined } })).toBeNull()
        const { headInMs } = await w.scripts.schedule(w.shard, [
          entry('q', { due: { at: 1 }, options: toQueue() }),
          entry('b', { due: { at: now + 18_000 }, options: toHost() }),
          entry('c', { due: { at: now + 19_000 }, options: toHost(TWO) }),
        ])
        expect(headInMs).toBeGreaterThan(10_000)
        expect(headInMs).toBeLessThanOrEqual(18_000)
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
        expect(await shift(w, ['main', 'host', 'queue'], -40_000)).toMatchObject({ shifted: 3, headInMs: 0 })
        const all = await checkKeys(w)
        expect([...all.map(w.keys.hosts).values(), ...all.map(w.keys.queues).values()]).toEqual([
          '60000',
          '60000',
        ])
        expect(await shift(w, ['queue', 'host'], 5)).toMatchObject({ shifted: 2, headInMs: null })
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
        expect(await w.messageScripts.forecast(w.shard, { from: 10, to: 30, bucketMs: 10 })).toEqual([1, 2])
        expect(
          await w.messageScripts.forecast(w.shard, { from: 4e12, to: 4e12 + 1_000, bucketMs: 1_000 }),
        ).toEqual([1])
        const page = { from: null, before: null, after: null, limit: 10, bytes: 1e9 }
        const listed = async (
          index: 'scheduled' | 'forStreams' | 'laned' | { tag: string },
          keep: 'all' | 'scheduled',
        ) => (await w.messageScripts.list(w.shard, { ...page, index, keep })).rows.map(({ id }) => id)
        expect(await listed('scheduled', 'all')).toEqual(['main'])
        expect(await listed('laned', 'all')).toEqual(['host', 'queue'])
        expect(await listed('forStreams', 'all')).toEqual(['stream'])
        expect(await w.messageScripts.count(w.shard)).toMatchObject({ scheduled: 4 })
        expect(await stateOf(w, 'stream')).toBe('scheduled')
        expect(await listed({ tag: 't' }, 'scheduled')).toEqual(['main', 'host', 'stream'])
        await claim(w)
        expect(await listed({ tag: 't' }, 'scheduled')).toEqual(['stream'])
        expect(await listed({ tag: 't' }, 'all')).toEqual(['main', 'host', 'stream'])
        expect(await stateOf(w, 'queue')).toBe('scheduled')
        expect(await w.messageScripts.forecast(w.shard, { from: 10, to: 30, bucketMs: 10 })).toEqual([0, 1])
      })
    })

    describe('claim', () => {
      const room = (some: Partial<ClaimRoom>): Partial<ClaimRoom> => ({
        limit: 0,
        slots: 1_000,
        hostSlots: 1_000,
        ...some,
      })

      it('takes from every host, those first in which something has waited longest', async () => {
        const w = world()
        await putAll(w, TWO, { a2: 300, b2: 100 })
        await putAll(w, ONE, { a1: 200, b1: 150 })
        await putAll(w, THREE, { a3: 400 })
        await putAll(w, '', { main: 50 })
        const reply = await claim(w)
        expect(reply.ids).toEqual(['main', 'a3', 'a2', 'b2', 'a1', 'b1'])
        expect(reply).toMatchObject({ heldBack: false, nextDueInMs: null })
        expect(await lanesOf(w)).toEqual({ '': [] })
        expect(await w.client.zcard(w.keys.claimed)).toBe(6)
        expect(reply.claims.map(({ attemptDueAt }) => attemptDueAt)).toEqual(
          reply.claims.map(({ record }) => decodeRecord(record).dueAt),
        )
        await w.scripts.acknowledge(
          w.shard,
          reply.ids.map((id) => ({ id, token: reply.token, lateMs: 0 })),
        )
        await checkKeys(w)
        expect(await w.client.exists(w.keys.messages)).toBe(0)
      })

      it('takes what is due and leaves the rest of the lane, whose time it tells', async () => {
        const w = world()
        const now = await putAll(w, ONE, { a: 5, later: -60_000, latest: -70_000 })
        const reply = await claim(w)
        expect(reply.ids).toEqual(['a'])
        expect(reply).toMatchObject({ nextDueInMs: now + 60_000 - reply.now, heldBack: false })
        expect(await lanesOf(w)).toEqual({ '': [], [`webhook:${ONE}`]: ['later', 'latest'] })
      })

      it('takes at most so many of each host', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350 })
        const reply = await claim(w, room({ hostSlots: 2 }))
        expect(reply.ids).toEqual(['a1', 'b1', 'a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
      })

      it('takes at most so many of a host that is named', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350, b2: 250 })
        const lanes = new Map([
          [`webhook:${ONE}`, 2],
          [`webhook:${THREE}`, 0],
        ])
        const reply = await claim(w, room({ hostSlots: 1, lanes }))
        expect(reply.ids).toEqual(['a1', 'b1', 'a2'])
        expect(reply.heldBack).toBe(true)
        await checkKeys(w)
      })

      it('takes at most so many of all hosts together, and of one host never more than are left', async () => {
        const w = world()
        await putAll(w, ONE, { a1: 400, b1: 300, c1: 200 })
        await putAll(w, TWO, { a2: 350, b2: 250, c2: 150 })
        const reply = await claim(w, room({ slots: 4, hostSlots: 3 }))
        expect(reply.ids).toEqual(['a1', 'b1', 'c1', 'a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
      })

      it('leaves a full lane as it is, which neither hides another one nor spoils the time to the next', async () => {
        const w = world()
        const nowOne = await putAll(w, ONE, { a1: 400, b1: -5_000 })
        const now = await putAll(w, TWO, { a2: 300, b2: -90_000 })
        await putAll(w, '', { main: -100_000 })
        const before = await w.client.zrange(`${w.keys.scheduled}:webhook:${ONE}`, '0', '-1', 'WITHSCORES')
        const lanes = new Map([[`webhook:${ONE}`, 0]])
        const reply = await claim(w, { lanes })
        expect(reply.ids).toEqual(['a2'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: now + 90_000 - reply.now })
        expect(await w.client.zrange(`${w.keys.scheduled}:webhook:${ONE}`, '0', '-1', 'WITHSCORES')).toEqual(
          before,
        )
        // A full lane of which nothing is due is as any other.
        await cancel(w, 'a1')
        const next = await claim(w, { lanes })
        expect(next).toMatchObject({ ids: [], heldBack: false, nextDueInMs: nowOne + 5_000 - next.now })
        await checkKeys(w)
      })

      it('says that something is held back exactly when something is due without a slot', async () => {
        const w = world()
        await putAll(w, ONE, { a: 10, b: 5 })
        await putAll(w, TWO, { later: -60_000 })
        const lanes = new Map([[`webhook:${ONE}`, 1]])
        expect((await claim(w, room({ lanes }))).heldBack).toBe(true)
        expect(await claim(w, room({ lanes }))).toMatchObject({ ids: ['b'], heldBack: false })
        expect((await claim(w, room({ lanes: new Map([[`webhook:${ONE}`, 0]]) }))).heldBack).toBe(false)
        expect((await claim(w, room({ slots: 0 }))).heldBack).toBe(false)
      })

      it('with no slots takes nothing of hosts, and tells when the next falls due', async () => {
        const w = world()
        await putAll(w, '', { main: 10 })
        await putAll(w, ONE, { a1: 10, b1: -3_600_000 })
        await putAll(w, TWO, { a2: 5 })
        const now = await putAll(w, THREE, { a3: -70_000, b3: -60_000 })
        const reply = await claim(w, { slots: 0 })
        expect(reply.ids).toEqual(['main'])
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: now + 60_000 - reply.now })
        await checkKeys(w)
        // Without an interest in hosts at all there is neither.
        const none = await claim(w, { slots: 0, hostSlots: 0 })
        expect(none).toMatchObject({ ids: [], heldBack: false, nextDueInMs: null })
      })

      it('with no slots tells it to the very millisecond, to the end of the year 9999', async () => {
        const w = world()
        w.pass(LAST - HOUR_MS - (await w.now()))
        // The clock runs on while the test does: one host for every millisecond in which the next may be looked for.
        const now = await w.now()
        await w.scripts.schedule(
          w.shard,
          ids(2_000).map((id, i) => entry(id, { due: { at: now + i }, options: toHost(`http://${i}.test`) })),
        )
        for (let i = 0; i < 3; i += 1) {
          const reply = await claim(w, { slots: 0 })
          expect(reply.now - now).toBeLessThan(1_900)
          expect(reply).toMatchObject({ ids: [], heldBack: true, nextDueInMs: 1 })
        }
      })

      it('without room for the main due set leaves it out, its time too', async () => {
        const w = world()
        await putAll(w, '', { main: 10 })
        const now = await putAll(w, ONE, { a: 10, later: -60_000 })
        const reply = await claim(w, { limit: 0 })
        expect(reply.ids).toEqual(['a'])
        expect(reply.nextDueInMs).toBe(now + 60_000 - reply.now)
        expect((await claim(w)).ids).toEqual(['main'])
      })

      it('looks at a message of every host, however many there are', async () => {
        const w = world()
        const now = await w.now()
        const hosts = Array.from({ length: 300 }, (_, i) => `http://h${i}.test`)
        await w.scripts.schedule(
          w.shard,
          hosts.flatMap((host, i) => [
            entry(`~${i}`, { due: { at: now - 1_000 + i }, options: toHost(host) }),
            entry(`~${i}x`, { due: { at: now - 600 }, options: toHost(host) }),
          ]),
        )
        const lanes = new Map(hosts.slice(0, 200).map((host) => [`webhook:${host}`, 0]))
        const reply = await claim(w, room({ hostSlots: 1, lanes }))
        expect(reply.ids).toEqual(hosts.slice(200).map((_, i) => `~${200 + i}`))
        expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        await checkKeys(w)
        // Behind more than 64 that are full lies the one that says when to come back.
        await putAll(w, 'http://future.test', { future: -60_000 })
        const full = new Map(hosts.map((host) => [`webhook:${host}`, 0]))
        const later = await claim(w, room({ lanes: full }))
        expect(later).toMatchObject({ ids: [], heldBack: true })
        expect(later.nextDueInMs).toBeGreaterThan(50_000)
        const all = await claim(w)
        expect(all.ids).toHaveLength(500)
        expect(all).toMatchObject({
          heldBack: false,
          nextDueInMs: (later.nextDueInMs ?? 0) - (all.now - later.now),
        })
        await checkKeys(w)
      })

      it('takes from exactly as many hosts as are read at once, and from none twice', async () => {
        for (const count of [63, 64, 65, 128]) {
          const w = world()
          const hosts = Array.from({ length: count }, (_, i) => `http://n${count}-${i}.test`)
          await w.scripts.schedule(
            w.shard,
            hosts.flatMap((host, i) => [
              entry(`~${count}-${i}`, { options: toHost(host) }),
              entry(`~${count}-${i}x`, { options: toHost(host) }),
            ]),
          )
          const reply = await claim(w, room({ hostSlots: 1 }))
          expect(new Set(reply.ids).size).toBe(count)
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
          expect((await claim(w)).ids).toHaveLength(count)
        }
      })

      it('never takes from queues that are not named, nor tells of them', async () => {
        const w = world()
        await put(w, 'a', { options: toQueue() })
        await put(w, 'b', { options: toQueue('other') })
        const servers = await claim(w)
        expect(servers).toMatchObject({ ids: [], heldBack: false, nextDueInMs: null })
        const worker = await claim(w, workerRoom('q'))
        expect(worker).toMatchObject({ ids: ['a'], nextDueInMs: null })
        await checkKeys(w)
        expect(await lanesOf(w)).toEqual({ '': [], 'pull:other': ['b'] })
      })

      describe('of the last slots, the reserve', () => {
        /** How many each host gets of 16 slots, 8 at most each and 4 of them reserve, by when it came. */
        const shares = async (
          w: ScriptWorld,
          hosts: readonly string[],
          lanes = new Map<string, number>(),
        ) => {
          for (const [i, host] of hosts.entries()) {
            const entries = ids(10, `${i}-`).map((id) =>
              entry(id, { due: { at: i + 1 }, options: toHost(host) }),
            )
            await w.scripts.schedule(w.shard, entries)
          }
          const underWay = [...lanes.values()].reduce((sum, left) => sum + 8 - left, 0)
          const reply = await claim(w, room({ slots: 16 - underWay, hostSlots: 8, reserve: 4, lanes }))
          const count = (i: number) => reply.ids.filter((id) => id.startsWith(`${i}-`)).length
          return { shares: hosts.map((_, i) => count(i)), reply }
        }
        const hosts = (count: number) => ids(count, 'http://h').map((name) => `${name}.test`)

        it('gives a host more only while it has fewer than are left, so that some are left for the next', async () => {
          const { shares: given, reply } = await shares(world(), hosts(6))
          // 8 of 16, then 4 of which are free to take, and of the last 4 half, half of the rest, and so on.
          expect(given).toEqual([8, 4, 2, 1, 1, 0])
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        })

        it('gives those that have many already none, and does not hurry back for them', async () => {
          const w = world()
          const [one = '', two = ''] = hosts(2)
          const { shares: given, reply } = await shares(
            w,
            [one, two],
            new Map([
              [`webhook:${one}`, 2],
              [`webhook:${two}`, 1],
            ]),
          )
          expect(given).toEqual([0, 0])
          expect(reply).toMatchObject({ heldBack: true, nextDueInMs: null })
        })

        it('is no matter for a host that is the only one', async () => {
          const [one = ''] = hosts(1)
          const { shares: given } = await shares(world(), [one], new Map([[`webhook:${one}`, 4]]))
          expect(given).toEqual([4])
        })
      })

      it('takes at most so many of a queue, the longest overdue first, and says that more is due', async () => {
        const w = world()
        await w.scripts.schedule(
          w.shard,
          [5, 3, 4].map((at) => entry(`m${at}`, { due: { at }, options: toQueue() })),
        )
        await putAll(w, '', { main: 10 })
        await putAll(w, ONE, { host: 10 })
        const reply = await claim(w, workerRoom('q', 2))
        expect(reply).toMatchObject({ ids: ['m3', 'm4'], nextDueInMs: 0 })
        const named = await claim(w, {
          ...{ limit: 0, slots: 3, hostSlots: 0 },
          lanes: new Map([
            ['pull:q', 5],
            [`webhook:${ONE}`, 5],
          ]),
        })
        expect(named.ids).toEqual(['m5', 'host'])
        await checkKeys(w)
      })

      it('with no slots for queues that are named only tells when the next falls due', async () => {
        const w = world()
        const now = await w.now()
        const look = { limit: 0, slots: 0, hostSlots: 0 }
        const lanes = new Map([
          ['pull:q', 0],
          ['pull:r', 0],
          ['pull:empty', 0],
        ])
        await put(w, 'later', { due: { at: now + 70_000 }, options: toQueue() })
        await put(w, 'sooner', { due: { at: now + 60_000 }, options: toQueue('r') })
        const reply = await claim(w, { ...look, lanes })
        expect(reply).toMatchObject({ ids: [], nextDueInMs: now + 60_000 - reply.now })
        await put(w, 'due', { options: toQueue() })
        expect(await claim(w, { ...look, lanes })).toMatchObject({ ids: [], nextDueInMs: 0 })
        expect(await claim(w, { ...look, lanes: new Map() })).toMatchObject({ ids: [], nextDueInMs: null })
        await checkKeys(w)
      })

      it('returns fewer once their records are large, of lanes too, and comes back to the rest', async () => {
        const w = world()
        const body = (host: string) =>
          encodeRecordBody(`"${'x'.repeat(200_000)}"`, { destination: webhook(host) })
        const hosts = Array.from({ length: 12 }, (_, i) => `http://h${i}.test`)
        const all = hosts.flatMap((host, h) =>
          Array.from({ length: 10 }, (_, i) => ({
            ...{ id: `~${h}-${i}`, due: { at: 1 }, rule: 'any' as const, body: body(host) },
          })),
        )
        await w.scripts.schedule(w.shard, all)
        const seen = new Set<string>()
        while (seen.size < 120) {
          const reply = await claim(w)
          expect(reply.ids.length).toBeGreaterThan(0)
          expect(reply.ids.length * 200_000).toBeLessThan(6_000_000)
          for (const id of reply.ids) seen.add(id)
          expect(reply).toMatchObject({ nextDueInMs: seen.size < 120 ? 0 : null, heldBack: false })
          await checkKeys(w)
        }
      })

      it('forgets an id in a lane that has no record', async () => {
        const w = world()
        const lane = `webhook:${ONE}`
        await w.client.zadd(`${w.keys.scheduled}:${lane}`, 1, 'ghost')
        await w.client.zadd(w.keys.laned, 1, 'ghost')
        await w.client.zadd(w.keys.hosts, 1, lane)
        expect((await claim(w)).ids).toEqual([])
        expect((await dump(w)).text).toBe('[]')
      })

      it('drops and gives up what is too late for its host, and tells how many', async () => {
        const w = world()
        await put(w, 'dropped', { options: { ...toHost(), notAfter: 1, onLate: 'drop' } })
        await put(w, 'dead', { options: { ...toHost(), notAfter: 1, onLate: 'dead-letter' } })
        await put(w, 'anyway', { options: { ...toHost(), notAfter: 1 } })
        expect(await claim(w)).toMatchObject({ ids: ['anyway'], dropped: 1, died: 1 })
        expect([await stateOf(w, 'dropped'), await stateOf(w, 'dead')]).toEqual(['dropped', 'dead'])
        expect((await find(w, 'dead'))?.failures).toBe('expired')
        await checkKeys(w)
      })
    })

    describe('what ends a claim', () => {
      for (const [what, options, room] of [
        ['a host', toHost(), {}],
        ['a queue', toQueue(), workerRoom('q')],
      ] as const) {
        it(`puts a message for ${what} back into its lane: a failure, a return, an expiry`, async () => {
          const w = world()
          const lane = what === 'a host' ? `webhook:${ONE}` : 'pull:q'
          await put(w, 'a', { due: { at: 5 }, options: { ...options, tags: ['t'] } })
          await fail(w, 60_000, room)
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          w.pass(60_000)
          const { token, claims } = await claim(w, room)
          await checkKeys(w)
          await w.scripts.release(
            w.shard,
            claims.map((one) => returned(token, one)),
          )
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          expect((await claim(w, room)).ids).toEqual(['a'])
          w.pass(LOCK_MS)
          const reply = await claim(w, { limit: 0, slots: 0, hostSlots: 0 })
          expect(reply).toMatchObject({ ids: [], recovered: 1, died: 0 })
          expect(await lanesOf(w)).toEqual({ '': [], [lane]: ['a'] })
          expect(await find(w, 'a')).toMatchObject({ attempts: '1 1', failures: 'lock lost', score: 5 })
          expect(await deliver(w, 0, room)).toEqual(['a'])
          await checkKeys(w)
          expect(await w.client.exists(w.keys.messages, w.keys.laned, w.keys.attempts, w.keys.failures)).toBe(
            0,
          )
        })
      }
    })

    describe('publishing', () => {
      it('tells of the soonest of several, once a lane', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        const now = await w.now()
        const at = (inMs: number, options = {}) => ({ due: { at: now + inMs }, options })
        const { headInMs } = await w.scripts.schedule(w.shard, [
          entry('a', at(90_000, toHost())),
          entry('b', at(70_000, toHost())),
          entry('c', at(80_000, toHost())),
          entry('d', at(60_000, toQueue())),
          entry('e', at(50_000, toQueue())),
        ])
        expect(headInMs).toBeGreaterThan(60_000)
        expect(headInMs).toBeLessThanOrEqual(70_000)
        expect((await heard()).sort()).toEqual([
          expect.stringMatching(/^(4\d{4}|50000) pull:q$/),
          expect.stringMatching(/^(6\d{4}|70000) webhook:/),
        ])
        stop()
      })

      it('calls for help when a server leaves some of what is due, and not for a worker that pulls', async () => {
        const w = world()
        for (const id of ['a', 'b']) await put(w, id, { due: { at: 1 } })
        for (const id of ['q1', 'q2']) await put(w, id, { due: { at: 1 }, options: toQueue() })
        const { heard, stop } = await listen(w)
        expect((await claim(w, { ...workerRoom('q'), slots: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual([])
        expect((await claim(w, { limit: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual(['help'])
        expect((await claim(w, { limit: 1 })).claims).toHaveLength(1)
        expect(await heard()).toEqual([])
        stop()
      })

      it('tells of the first message of each lane, by whatever it got there, and not otherwise', async () => {
        const w = world()
        const { heard, stop } = await listen(w)
        const now = await w.now()
        const host = `webhook:${ONE}`
        await put(w, 'main', { due: { at: now + 1_000 } })
        expect(await heard()).toEqual([expect.stringMatching(/^\d{1,4} $/)])
        await put(w, 'a', { due: { at: now + HOUR_MS }, options: toHost() })
        expect(await heard()).toEqual([expect.stringMatching(new RegExp(`^3[56]\\d{5} ${host}$`))])
        await put(w, 'b', { due: { at: now + 2 * HOUR_MS }, options: toHost() })
        expect(await heard()).toEqual([])
        await put(w, 'c', { due: { at: 1 }, options: toHost() })
        await put(w, 'q', { due: { at: 1 }, options: toQueue() })
        expect(await heard()).toEqual([`0 ${host}`, '0 pull:q'])
        const [hosts, workers] = [await claim(w, { limit: 0 }), await claim(w, workerRoom('q'))]
        await w.scripts.release(
          w.shard,
          hosts.claims.map((one) => returned(hosts.token, one)),
        )
        expect(await heard()).toEqual([`0 ${host}`])
        await reschedule(w, 'c', { due: { at: 2 } })
        await reschedule(w, 'c', { options: toHost(TWO) })
        await reschedule(w, 'b', { due: { at: now + 3 * HOUR_MS } })
        expect(await heard()).toEqual([`0 webhook:${TWO}`])
        await shift(w, ['c', 'b'], -1)
        expect(await heard()).toEqual([`0 webhook:${TWO}`])
        expect(workers.ids).toEqual(['q'])
        w.pass(LOCK_MS)
        await claim(w, { limit: 0, slots: 0, hostSlots: 0 })
        expect(await heard()).toEqual(['0 pull:q'])
        stop()
      })
    })

    describe('count', () => {
      it('sums over lanes, and tells apart what waits only for a worker or a slot', async () => {
        const w = world()
        const ago = async () => (await w.messageScripts.count(w.shard)).overdueMs
        const now = await w.now()
        const at = (agoMs: number) => ({ due: { at: now - agoMs } })
        const count = async (full: (string | undefined)[] = []) => {
          const counts = await w.messageScripts.count(
            w.shard,
            full.map((host) => `webhook:${host}`),
          )
          // To whole minutes, as the clock runs on.
          const minutes = (ms: number) => Math.floor(ms / 60_000)
          const { scheduled, overdueMs, lateMs } = counts
          return [scheduled, minutes(overdueMs), minutes(lateMs)]
        }
        await put(w, 'future', { due: { at: now + HOUR_MS }, options: toHost(THREE) })
        expect(await count()).toEqual([1, 0, 0])
        expect(await ago()).toBe(0)
        await put(w, 'q', { ...at(9 * 60_000), options: toQueue() })
        expect(await count()).toEqual([2, 9, 0])
        await put(w, 'two', { ...at(3 * 60_000), options: toHost(TWO) })
        expect(await count()).toEqual([3, 9, 3])
        await put(w, 'one', { ...at(5 * 60_000), options: toHost() })
        expect(await count()).toEqual([4, 9, 5])
        expect(await count([ONE])).toEqual([4, 9, 3])
        expect(await count([TWO])).toEqual([4, 9, 5])
        expect(await count([TWO, ONE])).toEqual([4, 9, 0])
        expect(await count(['http://none.test'])).toEqual([4, 9, 5])
        await put(w, 'main', at(2 * 60_000))
        expect(await count([ONE, TWO])).toEqual([5, 9, 2])
        await put(w, 'late main', at(11 * 60_000))
        expect(await count([ONE])).toEqual([6, 11, 11])
        await reject(w)
        expect(await w.messageScripts.count(w.shard)).toMatchObject({ scheduled: 2, claimed: 0, dead: 4 })
      })
    })
  })
}
