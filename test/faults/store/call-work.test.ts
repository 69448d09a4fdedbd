import { randomUUID } from 'node:crypto'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import type { MessageOptions } from '../../../src/domain/message.ts'
import { createGroupCommit } from '../../../src/messages/group-commit.ts'
import { createScheduler } from '../../../src/messages/scheduler.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { createShardMap } from '../../../src/shards/shard-map.ts'
import { connect } from '../../../src/store/connect.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import type { Held } from '../../../src/store/scripts/settle.ts'
import { claimAll } from '../../support/claim-all.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { startRedis } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'
import { UNTOLD } from '../../support/untold.ts'

/** So many commands in one script call take Redis about 5 ms on a quiet machine. */
const MOST_COMMANDS = 3_000
const COUNT = 1_000

const tagsOf = (i: number) => Array.from({ length: 10 }, (_, t) => `tag-${i}-${t}`)
const KINDS: Readonly<Record<string, (i: number) => MessageOptions>> = {
  'ten tags of its own': (i) => ({ tags: tagsOf(i) }),
  'a host of its own': (i) => ({ destination: { type: 'webhook', url: `https://host-${i}.test/` } }),
  'a queue of its own': (i) => ({ destination: { type: 'pull', queue: `queue-${i}` } }),
  'all of that': (i) => ({ tags: tagsOf(i), destination: { type: 'pull', queue: `queue-${i}` } }),
}

async function start() {
  const redis = await startRedis({ redisServer: inject('redisServer') })
  onTestFinished(() => redis.stop())
  const connection = connect(parseRedisUrl(redis.url))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(10_000)
  const scripts = createScripts(connection.client, { namespace: 'carillon', ...SETTINGS })
  const onNextDue = () => undefined
  const groupCommit = createGroupCommit({
    ...{ scripts, clock: createRedisClock(), shards: () => 1, onNextDue, metrics: noteMetrics().metrics },
    events: UNTOLD.events,
    ...{ probe: scripts.streams, nextToken: randomUUID },
  })
  const scheduler = createScheduler({
    ...{
      groupCommit,
      scripts,
      onNextDue,
      metrics: noteMetrics().metrics,
      dedupWindowMs: 1_000,
      now: Date.now,
      recordForm: () => 2,
    },
    shardMap: createShardMap(1, Date.now),
  })

  /** Has `act` done. @returns how many commands its script calls ran, each on average */
  async function commandsPerCall(act: () => Promise<unknown>): Promise<number> {
    await redis.client.config('RESETSTAT')
    await act()
    let [calls, commands] = [0, 0]
    for (const [, name, count] of (await redis.client.info('commandstats')).matchAll(
      /^cmdstat_([^:]+):calls=(\d+)/gm,
    )) {
      if (name === 'eval' || name === 'evalsha') calls += Number(count)
      else commands += Number(count)
    }
    return commands / calls
  }
  return { scripts, scheduler, commandsPerCall }
}

describe.each(Object.entries(KINDS))('where each of many messages has %s', (_kind, optionsOf) => {
  const all = Array.from({ length: COUNT }, (_, i) => i)
  const body = (i: number) => encodeRecordBody('"x"', optionsOf(i))

  it('a call that stores, moves, redrives or cancels them does a bounded part', async () => {
    const { scripts, scheduler, commandsPerCall } = await start()
    let ids: string[] = []
    const schedule = async () => {
      const due = { inMs: 3_600_000 }
      const stored = await Promise.all(
        all.map((i) => scheduler.schedule({ due, payload: 'x', options: optionsOf(i) })),
      )
      ids = stored.map(({ id }) => id)
    }
    expect(await commandsPerCall(schedule)).toBeLessThan(MOST_COMMANDS)
    const inParts = async (act: (rest: readonly string[]) => Promise<number>) => {
      let rest: readonly string[] = ids
      while (rest.length > 0) {
        expect(
          await commandsPerCall(async () => {
            rest = rest.slice(await act(rest))
          }),
        ).toBeLessThan(MOST_COMMANDS)
      }
    }
    await inParts(async (rest) => (await scripts.shift(0, { ids: rest, byMs: 1, latest: 1e13 })).processed)
    await inParts(
      async (rest) => (await scripts.redrive(0, { ids: rest, from: null, everyMs: 0, before: 0 })).processed,
    )
    await inParts(
      async (rest) => (await scripts.cancel(0, { ids: rest, ifMatch: '', states: ['scheduled'] })).length,
    )
    await expect(scripts.count(0)).resolves.toMatchObject({ scheduled: 0 })
  })

  it('a call that releases, recovers or acknowledges them does a bounded part', async () => {
    const { scripts, commandsPerCall } = await start()
    const entries = all.map((i) => ({ id: `~${i}`, due: { at: 1 }, rule: 'any' as const, body: body(i) }))
    await scripts.schedule(0, entries, { token: 't', runBy: Date.now() + 5_000, firstSentAt: null })
    const lanes = new Map(all.map((i) => [`pull:queue-${i}`, 1]))
    const rooms = [
      { limit: COUNT, streamLimit: 0, slots: COUNT, hostSlots: 1, reserve: 0, lanes: new Map() },
      { limit: 0, streamLimit: 0, slots: COUNT, hostSlots: 0, reserve: 0, lanes },
    ]
    const claim = async (lockMs: number): Promise<Held[]> => {
      const held: Held[] = []
      while (held.length < COUNT) {
        for (const room of rooms) {
          const token = randomUUID()
          const { claims } = await claimAll(scripts, 0, { token, lockMs, room })
          held.push(...claims.map(({ id }) => ({ id, token })))
        }
      }
      return held
    }
    const nothing = { limit: 0, streamLimit: 0, slots: 0, hostSlots: 0, reserve: 0, lanes: new Map() }
    const held = await claim(60_000)
    const release = () =>
      scripts.release(
        0,
        held.map((each) => ({ ...each, why: 'postponed', delayMs: 0, reason: 'r', report: '' })),
      )
    expect(await commandsPerCall(release)).toBeLessThan(MOST_COMMANDS)
    await claim(1)
    while ((await scripts.count(0)).claimed > 0) {
      const recover = () => claimAll(scripts, 0, { token: 'r', lockMs: 1, room: nothing })
      expect(await commandsPerCall(recover)).toBeLessThan(MOST_COMMANDS)
    }
    const again = await claim(60_000)
    const acknowledge = () =>
      scripts.acknowledge(
        0,
        again.map((each) => ({ ...each, lateMs: 0 })),
      )
    expect(await commandsPerCall(acknowledge)).toBeLessThan(MOST_COMMANDS)
    await expect(scripts.count(0)).resolves.toMatchObject({ scheduled: 0, claimed: 0 })
  })
})
