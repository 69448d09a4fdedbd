import { expect, inject, it } from 'vitest'
import { createDestinations } from '../../../src/traffic/destinations.ts'
import { readHour } from '../../../src/traffic/hour.ts'
import { lateness } from '../../../src/traffic/lateness.ts'
import { TrafficRecorder } from '../../../src/traffic/recorder.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { entry, pull, webhook } from '../../support/values.ts'

const world = useScripts(() => inject('redisUrl'))
const MINUTE = 60_000
/** The beginning of a minute. */
const START = 1_893_456_000_000
const HOOK = 'webhook:https://a.test'

/** Servers that share a clock, which the test moves. */
function serversOn(w: ScriptWorld, ...ids: string[]) {
  const clock = { at: START }
  const writes: string[] = []
  const scripts: ScriptWorld['scripts'] = {
    ...w.scripts,
    recordTraffic(minute, args) {
      writes.push(args.serverId)
      return w.scripts.recordTraffic(minute, args)
    },
  }
  const recorders = ids.map((serverId) => new TrafficRecorder({ scripts, serverId, now: () => clock.at }))
  const [recorder] = recorders
  if (recorder === undefined) throw new Error('there is no server')
  const hour = { scripts, recorder, now: () => clock.at }
  return { clock, writes, recorders, hour, scripts }
}

it('what all servers deliver is added up by minute and lane', async () => {
  const { clock, recorders, hour } = serversOn(world(), 'a', 'b')
  const [a, b] = recorders as [TrafficRecorder, TrafficRecorder]
  for (const each of [a, b]) {
    each.started(HOOK, 4)
    each.ended(HOOK, { code: '200', durationMs: 30 })
    each.delivered(HOOK, 1)
    await each.flush()
  }
  // Of the same minute: it takes the place of what was written before.
  b.failed(HOOK, 'dead', 'status 410')
  b.ended(HOOK, { code: '410', durationMs: 90 })
  await b.flush()
  clock.at += MINUTE
  await b.flush()
  b.started('', 200)
  b.delivered('', 500)
  await b.flush()
  const minutes = await readHour(hour)
  expect(minutes.map(({ at, lanes }) => [at, [...lanes.keys()]])).toEqual([
    [START, [HOOK]],
    [START + MINUTE, ['']],
  ])
  const first = minutes[0]?.lanes.get(HOOK)
  expect(first).toMatchObject({
    ...{ delivered: 2, failed: 1, retried: 0, dead: 1, lastError: { at: START, reason: 'status 410' } },
    codes: new Map([
      ['200', 2],
      ['410', 1],
    ]),
  })
  expect([first?.took.count, first?.took.max, first?.late.count]).toEqual([3, 90, 2])
  const all = await lateness(hour, { from: START, to: START + 2 * MINUTE })
  expect(all).toMatchObject({ count: 3, max: 200, p50: 4 })
  expect(all.minutes).toMatchObject([
    { at: START, count: 2, max: 4 },
    { at: START + MINUTE, count: 1, max: 200 },
  ])
  expect((await lateness(hour, { from: START, to: START + MINUTE })).count).toBe(2)
})

it('nothing is written while nothing is delivered', async () => {
  const w = world()
  const { clock, recorders, writes, hour } = serversOn(w, 'a')
  const [a] = recorders as [TrafficRecorder]
  await a.flush()
  expect(writes).toEqual([])
  a.delivered('', 1)
  await a.flush()
  await a.flush()
  clock.at += MINUTE
  await a.flush()
  await readHour(hour)
  expect(writes).toEqual(['a'])
  const [key = ''] = await w.client.keys(`${w.namespace}:traffic:*`).catch(() => [])
  if (key !== '') expect(await w.client.pttl(key)).toBeGreaterThan(50 * MINUTE)
})

it('an hour is remembered, and no more', async () => {
  const { clock, recorders, hour } = serversOn(world(), 'a')
  const [a] = recorders as [TrafficRecorder]
  a.delivered('', 1)
  await a.flush()
  clock.at += 59 * MINUTE
  expect(await readHour(hour)).toHaveLength(1)
  clock.at += MINUTE
  expect(await readHour(hour)).toEqual([])
})

it('what Redis does not take is written later', async () => {
  const w = world()
  let isAway = true
  const { clock, hour } = serversOn(w, 'a')
  const scripts: ScriptWorld['scripts'] = {
    ...w.scripts,
    recordTraffic: (minute, args) =>
      isAway ? Promise.reject(new Error('away')) : w.scripts.recordTraffic(minute, args),
  }
  const a = new TrafficRecorder({ scripts, serverId: 'a', now: () => clock.at })
  a.delivered('', 3)
  await a.flush()
  clock.at += MINUTE
  a.delivered('', 4)
  await a.flush()
  isAway = false
  clock.at += MINUTE
  await a.flush()
  const minutes = await readHour(hour)
  expect(minutes.map(({ lanes }) => lanes.get('')?.delivered)).toEqual([7])
})

it('destinations have what waits in all shards, what is under way on all servers, and the last hour', async () => {
  const w = world()
  const { recorders, hour, scripts } = serversOn(w, 'a')
  const [a] = recorders as [TrafficRecorder]
  const now = await w.now()
  const toHook = { destination: webhook('https://a.test') }
  const toQueue = { destination: pull('q') }
  await w.scripts.schedule(0, [
    entry('a', { due: { at: now - 10 }, options: toHook }),
    entry('b', { due: { at: now + 600_000 }, options: toHook }),
    entry('c', { due: { at: now - 10 }, options: toQueue }),
    entry('d', { due: { at: now + 600_000 } }),
  ])
  await w.scripts.schedule(1, [
    entry('e', { due: { at: now - 10 }, options: toQueue }),
    entry('f', { due: { at: now + 600_000 }, options: toHook }),
  ])
  a.delivered('stream', 7)
  a.failed(HOOK, 'retried', 'timeout')
  const load = (inFlight: number) => ({ load: { lanes: { [HOOK]: inFlight } } })
  const destinations = createDestinations({
    ...{ ...hour, scripts, shards: () => 2, perHost: 32 },
    servers: async () => [load(3), {}, load(4)],
  })
  const all = await destinations.all()
  expect(all.map(({ lane, waiting, due }) => [lane, waiting, due])).toEqual([
    ['pull:q', 2, 2],
    [HOOK, 3, 1],
    ['stream', 0, 0],
    ['', 1, 0],
  ])
  expect(all[1]).toMatchObject({ inFlight: 7, concurrency: 32, hour: { failed: 1, retried: 1 } })
  expect(all[0]).toMatchObject({ inFlight: null, concurrency: null, minutes: [] })
  expect(await destinations.one(HOOK)).toEqual(all[1])
  expect(await destinations.one('pull:none')).toMatchObject({ waiting: 0, due: 0, minutes: [] })
})

it('the list has 200 destinations, and other for the rest', async () => {
  const w = world()
  const { recorders, hour, scripts } = serversOn(w, 'a', 'b')
  const [a, b] = recorders as [TrafficRecorder, TrafficRecorder]
  for (let i = 0; i < 150; i += 1) {
    a.delivered(`pull:a${i}`, 2)
    b.delivered(`pull:b${i}`, 2)
  }
  await b.flush()
  const destinations = createDestinations({
    ...{ ...hour, scripts, shards: () => 1, perHost: 32, servers: async () => [] },
  })
  const all = await destinations.all()
  expect(all).toHaveLength(201)
  expect(all.at(-1)).toMatchObject({ lane: 'other', waiting: null, due: null, hour: { delivered: 200 } })
  expect(all.reduce((sum, each) => sum + each.hour.delivered, 0)).toBe(600)
})
