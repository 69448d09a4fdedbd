import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { startFleet } from '../../support/fleet.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const run = promisify(execFile)

/** Sends Redis one command. @returns all that its reply holds, in order, whatever it is nested in */
type Ask = (...command: (string | number)[]) => Promise<string[]>

/** As a program of a user's own would. */
async function askWithLibrary(): Promise<Ask> {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  return async (command, ...args) => {
    const reply = await connection.client.call(String(command), ...args)
    return [reply].flat(5).map(String)
  }
}

/** As a user at a terminal would, where there is a redis-cli; it knows no sentinels. */
async function askWithCli(): Promise<Ask> {
  const target = parseRedisUrl(inject('redisUrl'))
  const folders = [dirname(inject('redisServer')), ...(process.env.PATH ?? '').split(delimiter)]
  const cli = folders
    .flatMap((folder) => [join(folder, 'redis-cli'), join(folder, 'valkey-cli')])
    .find((path) => existsSync(path))
  if (cli === undefined || target.kind === 'sentinel') return askWithLibrary()
  const [node = ''] = inject('redisUrl').split(',')
  const where = target.kind === 'cluster' ? ['-c', '-u', node] : ['-u', node]
  return async (...command) => {
    const { stdout } = await run(cli, [...where, ...command.map(String)])
    return stdout.trimEnd().split('\n')
  }
}

interface Entry {
  readonly key: string
  readonly entryId: string
  readonly fields: Readonly<Record<string, string>>
}

const FIELDS = 5

/** Reads what XREADGROUP and XRANGE answer of one key. */
function entriesIn(reply: readonly string[], key: string): Entry[] {
  const entries: Entry[] = []
  for (let i = 0; i < reply.length; i += 1) {
    const text = reply[i] ?? ''
    if (!/^\d+-\d+$/.test(text)) continue
    const fields: Record<string, string> = {}
    for (let j = i + 1; j <= i + 2 * FIELDS; j += 2) fields[reply[j] ?? ''] = reply[j + 1] ?? ''
    entries.push({ key, entryId: text, fields })
    i += 2 * FIELDS
  }
  return entries
}

const keysIn = async (server: Service) => {
  const { body } = await server.call<{ streams: { name: string; keys: string[] }[] }>('GET', '/v1/stats')
  return body.streams
}

describe('a stream', () => {
  it('brings a consumer group every message once, whichever servers move them and whoever is killed', async () => {
    const COUNT = 1_200
    const fleet = await startFleet({ size: 3, env: { SHARDS: '2', LOCK_TTL_MS: '5000' } })
    const [server, victim] = fleet.servers as [Service, Service]
    const start = await server.soon(40)
    const messages = Array.from({ length: COUNT }, (_, i) => ({
      id: `s-${i}`,
      at: start + i,
      payload: { text: `grüße ${i}` },
      tags: ['all', `tag-${i}`],
      destination: { type: 'stream', name: 'invoices' },
    }))
    const batch = await server.call<{ results: { status: number }[] }>('POST', '/v1/messages/batch', {
      messages,
    })
    expect(new Set(batch.body.results.map(({ status }) => status))).toEqual(new Set([201]))

    // Before the first message is due its consumers can find out where it will come.
    const { namespace } = fleet
    const keys = [`{${namespace}:0}:stream:invoices`, `{${namespace}:1}:stream:invoices`]
    expect(await keysIn(server)).toEqual([{ name: 'invoices', keys }])
    const alice = await askWithCli()
    const bob = await askWithLibrary()
    for (const key of keys) {
      expect(await alice('XGROUP', 'CREATE', key, 'bookkeeping', '0', 'MKSTREAM')).toEqual(['OK'])
    }
    const read: Record<string, Entry[]> = { alice: [], bob: [] }
    const count = () => Object.values(read).flat().length
    const consume = async (name: string, ask: Ask) => {
      for (const giveUpAt = performance.now() + 120_000; performance.now() < giveUpAt && count() < COUNT; ) {
        // One at a time, as on a cluster they lie apart.
        for (const key of keys) {
          const order = ['GROUP', 'bookkeeping', name, 'COUNT', 20, 'BLOCK', 100, 'STREAMS', key, '>']
          const entries = entriesIn(await ask('XREADGROUP', ...order), key)
          read[name]?.push(...entries)
          const ids = entries.map(({ entryId }) => entryId)
          if (ids.length > 0) expect(await ask('XACK', key, 'bookkeeping', ...ids)).toEqual([`${ids.length}`])
        }
      }
    }
    const consuming = Promise.all([consume('alice', alice), consume('bob', bob)])
    await until('some are read', () => count() > COUNT / 4)
    await victim.end('SIGKILL')
    await consuming

    const all = Object.values(read).flat()
    expect(all.map(({ fields }) => fields.id).sort()).toEqual(messages.map(({ id }) => id).sort())
    for (const { fields } of all) {
      const i = Number(fields.id?.slice(2))
      expect(fields).toEqual({
        id: `s-${i}`,
        payload: `{"text":"grüße ${i}"}`,
        at: new Date(start + i).toISOString(),
        lateMs: expect.stringMatching(/^\d+$/),
        tags: `["all","tag-${i}"]`,
      })
    }
    for (const entries of Object.values(read)) expect(entries.length).toBeGreaterThan(0)
    for (const key of keys) {
      expect(all.some((entry) => entry.key === key)).toBe(true)
      expect((await bob('XPENDING', key, 'bookkeeping'))[0]).toBe('0')
    }
    const lengths = await Promise.all(keys.map((key) => bob('XLEN', key)))
    expect(lengths.flat().reduce((sum, length) => sum + Number(length), 0)).toBe(COUNT)
    const found = await server.call('GET', '/v1/messages/s-7')
    expect(found.body).toMatchObject({ status: 'delivered', attempts: 0, recoveries: 0 })
  })

  it('holds at most maxLen of them, the newest', async () => {
    const fleet = await startFleet({ size: 1, env: { SHARDS: '1' } })
    const [server] = fleet.servers as [Service]
    const start = Date.now() - 1_000
    const destination = { type: 'stream', name: 'short', maxLen: 10 }
    const messages = Array.from({ length: 50 }, (_, i) => ({
      id: `s-${i}`,
      at: start + i,
      payload: i,
      destination,
    }))
    await server.call('POST', '/v1/messages/batch', { messages })
    const [
      {
        keys: [key = ''],
      } = { keys: [] },
    ] = await keysIn(server)
    const ask = await askWithLibrary()
    const isDelivered = async () =>
      (await server.call('GET', '/v1/messages/s-49')).body.status === 'delivered'
    await until('all are moved', isDelivered)
    const entries = entriesIn(await ask('XRANGE', key, '-', '+'), key)
    expect(entries.map(({ fields }) => fields.id)).toEqual(messages.slice(-10).map(({ id }) => id))
  })
})
