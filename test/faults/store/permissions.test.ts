import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { encodeRecordBody } from '../../../src/records/record.ts'
import { connect, type RedisConnection } from '../../../src/store/connect.ts'
import { keysOf, wakeChannelOf } from '../../../src/store/keys.ts'
import { loadScript } from '../../../src/store/lua.ts'
import {
  aclRule,
  commandsOfScripts,
  createPermissions,
  type Permissions,
} from '../../../src/store/permissions.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import type { ScheduleEntry } from '../../../src/store/scripts/schedule.ts'
import { createScripts, type Scripts } from '../../../src/store/scripts/scripts.ts'
import { claimAll } from '../../support/claim-all.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'

const NAMESPACE = 'carillon'
const keys = keysOf(0, NAMESPACE)
const RULE = aclRule({ namespace: NAMESPACE, username: 'app', isCluster: false, hasDatabase: false })
const ROOM = {
  limit: 10,
  streamLimit: 10,
  slots: 10,
  hostSlots: 10,
  reserve: 0,
  lanes: new Map<string, number>(),
}

let redis: TestRedis
let connection: RedisConnection
let rights: Permissions
let scripts: Scripts
/** whose next call begins with a preflight */
let fresh: () => Scripts

/** Gives the user the least that it needs, and then these rules. */
const grant = async (...rules: string[]) => {
  const [, , user = '', ...least] = RULE.split(' ')
  await redis.client.call('ACL', 'SETUSER', user, 'reset', 'on', '>pw', ...least, ...rules)
}

beforeAll(async () => {
  redis = await startRedis({ redisServer: inject('redisServer') })
  await grant()
  connection = connect(parseRedisUrl(redis.url.replace('redis://', 'redis://app:pw@')))
  await connection.waitUntilReady(60_000)
  const options = { ...SETTINGS, namespace: NAMESPACE }
  fresh = () => createScripts(connection.client, options)
  scripts = fresh()
  rights = createPermissions(connection.client, { namespace: NAMESPACE, db: 0, username: 'app' })
})
afterAll(async () => {
  await connection.close()
  await redis.stop()
})

describe('the rights that a user lacks', () => {
  it('are none with the least rule', async () => {
    await grant()
    expect(rights.rule).toBe(RULE)
    expect(await rights.check(0)).toEqual({ required: [], optional: [] })
  })

  const plain = ['ping', 'eval', 'publish', 'subscribe']
  const required = [...plain, ...commandsOfScripts().map((name) => name.toLowerCase())]
  const optional = ['xadd', 'xlen', 'xrange', 'xrevrange', 'xtrim']
  it.each(required.filter((name) => !optional.includes(name)))('show that %s is lacking', async (name) => {
    await grant(`-${name}`)
    expect(await rights.check(0)).toEqual({ required: [`+${name}`], optional: [] })
  })

  it.each(['info', ...optional])('show that %s is lacking, without which the service works', async (name) => {
    await grant(`-${name}`)
    expect(await rights.check(0)).toEqual({ required: [], optional: [`+${name}`] })
  })

  it.each([
    ['scripts', ['-@scripting'], ['+evalsha', '+eval']],
    ['its channel', ['resetchannels'], [`&${wakeChannelOf(NAMESPACE)}`]],
    ['all keys', ['resetkeys', '~other:*'], ['~{carillon:*', '~carillon:*']],
    ['keys with braces', ['resetkeys', '~carillon:*'], ['~{carillon:*', '~carillon:*']],
    ['keys without braces', ['resetkeys', '~{carillon:*'], ['~carillon:*']],
    ['some keys of a shard', ['resetkeys', '~carillon:*', '~{carillon:0}:messages'], ['~{carillon:*']],
  ])('show that it has no right to %s', async (_what, rules, expected) => {
    await grant(...rules)
    expect((await rights.check(0)).required).toEqual(expected)
  })
})

it('the right to the keys of streams is one without which the service works', async () => {
  await grant(
    'resetkeys',
    '~carillon:*',
    '~{carillon:*}:[^s]*',
    '~{carillon:*}:s[^t]*',
    '~{carillon:*}:streams',
  )
  expect(await rights.check(0)).toEqual({ required: [], optional: ['~{carillon:*}:stream:*'] })
})

describe('a script that lacks a right half-way', () => {
  const snapshot = async () => {
    const names = (await redis.client.keys('*')).sort()
    const dumps = await Promise.all(names.map((name) => redis.client.dumpBuffer(name)))
    return names.map((name, i) => `${name} ${dumps[i]?.toString('base64')}`).join('\n')
  }
  const entry = (id: string, options = {}, dueAt = 1_000) => ({
    ...{ id, due: { at: dueAt }, rule: 'any' as const, body: encodeRecordBody('"text"', options) },
  })
  let callsMade = 0
  const schedule = (entries: readonly ScheduleEntry[]) => {
    callsMade += 1
    return fresh().schedule(0, entries, {
      token: `call ${callsMade}`,
      runBy: Date.now() + 60_000,
      firstSentAt: null,
    })
  }
  const webhook = { destination: { type: 'webhook' as const, url: 'http://a.example/' } }

  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    schedule: () => schedule([entry('new', { ...webhook, tags: ['t'] })]),
    claim: () => claimAll(scripts, 0, { token: 'other', lockMs: 60_000, room: ROOM }),
    acknowledge: () => scripts.acknowledge(0, [{ id: 'claimed', token: 'mine', lateMs: 0 }]),
    release: () =>
      scripts.release(0, [
        { id: 'claimed', token: 'mine', why: 'failed', retryAfterMs: 0, reason: 'r', report: '' },
      ]),
    cancel: () => scripts.cancel(0, { ids: ['later'], ifMatch: '', states: ['scheduled'] }),
    reschedule: () =>
      scripts.reschedule(0, {
        id: 'later',
        ifMatch: '',
        changes: { due: { inMs: 10 }, payload: null, options: [] },
      }),
    shift: () => scripts.shift(0, { ids: ['later'], byMs: 5, latest: 9e12 }),
  }

  it.each(Object.keys(calls))('%s writes nothing, and says which', async (name) => {
    await redis.client.flushall()
    await grant()
    await schedule([entry('claimed')])
    await claimAll(scripts, 0, { token: 'mine', lockMs: 600_000, room: ROOM })
    await schedule([entry('due'), entry('hook', webhook), entry('later', { tags: ['t'] }, 9e12)])
    const before = await snapshot()
    for (const command of loadScript(name).commands.map((each) => each.toLowerCase())) {
      await grant(`-${command}`)
      await expect(calls[name]?.()).rejects.toMatchObject({
        code: 'STORE_REFUSED',
        message: expect.stringContaining(`lacks +${command}`),
      })
      expect(await snapshot(), command).toBe(before)
    }
    await grant()
    await calls[name]?.()
    expect(await snapshot()).not.toBe(before)
  })

  const reads: Readonly<Record<string, () => Promise<unknown>>> = {
    find: () => scripts.find(0, ['later']),
    count: () => scripts.count(0),
  }
  it.each(Object.keys(reads))('%s, which only reads, says which', async (name) => {
    await redis.client.flushall()
    await grant()
    for (const command of loadScript(name).commands.map((each) => each.toLowerCase())) {
      await grant(`-${command}`)
      await expect(reads[name]?.()).rejects.toMatchObject({
        code: 'STORE_REFUSED',
        message: expect.stringContaining(`lacks +${command}`),
      })
    }
    await grant()
    await reads[name]?.()
  })

  it('schedule undoes what it wrote when a right has been taken away since its preflight', async () => {
    const { body } = entry('', { ...webhook, tags: ['t', 'other'] })
    const ofShard = [keys.scheduled, keys.messages, keys.history, keys.delivered, keys.dropped, keys.laned]
    const ofAll = [...ofShard, keys.hosts, keys.queues, keys.streams, `${keys.callPrefix}again`]
    const args = ['0', 'channel', '0', keys.tagPrefix, keys.seenPrefix, String(Date.now() + 60_000), '']
    const { lua, commands } = loadScript('schedule')
    const refused: string[] = []
    for (const command of commands) {
      await redis.client.flushall()
      await grant()
      await schedule([entry('there', { ...webhook, tags: ['t'] })]) // so large that Redis stores the next the same way
      const before = await snapshot()
      await grant(`-${command.toLowerCase()}`)
      const call = connection.client.eval(lua, ofAll.length, ...ofAll, ...args, 'new', '5000', 'any', body)
      if (
        await call.then(
          () => false,
          () => true,
        )
      ) {
        refused.push(command)
        expect(await snapshot(), command).toBe(before)
      }
    }
    expect(refused).toEqual(expect.arrayContaining(['SET', 'HSET', 'ZADD']))
  })

  it('stores nothing that it may not publish, and claims all the same', async () => {
    await redis.client.flushall()
    await grant('resetchannels')
    const refused = { code: 'STORE_REFUSED', message: expect.stringContaining('lacks +publish') }
    await expect(schedule([entry('new')])).rejects.toMatchObject(refused)
    expect(await snapshot()).toBe('')
    await grant()
    await schedule([entry('new')])
    await grant('resetchannels')
    const { claims } = await claimAll(scripts, 0, { token: 'mine', lockMs: 60_000, room: ROOM })
    expect(claims.map(({ id }) => id)).toEqual(['new'])
  })

  it('takes nothing off the schedule while a key holds another type', async () => {
    for (const key of ['attempts', 'failures', 'history', 'hosts', 'laned', 'dead', 'messages'] as const) {
      await redis.client.flushall()
      await grant()
      await schedule([entry('due'), entry('hook', webhook)])
      await redis.client.rename(keys[key], 'aside').catch(() => undefined)
      await redis.client.set(keys[key], 'of somebody else')
      const before = await snapshot()
      await expect(calls.claim?.()).rejects.toMatchObject({
        code: 'STORE_REFUSED',
        message: expect.stringContaining('wrong type'),
      })
      expect(await snapshot(), key).toBe(before)
    }
  })
})
