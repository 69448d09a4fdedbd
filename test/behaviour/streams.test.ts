import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { startFleet } from '../support/fleet.ts'
import type { Service } from '../support/service.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)

/** Sends Redis one command. @returns all that its reply holds, in order, whatever it is nested in */
type Ask = (...command: (string | number)[]) => Promise<string[]>

/** As a program of a user's own would. */
function askWithLibrary(): Ask {
  const client = new Redis(inject('redisUrl'), { protocol: 2 })
  onTestFinished(() => client.disconnect())
  return async (command, ...args) => {
    const reply = await client.call(String(command), ...args)
    return [reply].flat(5).map(String)
  }
}

/** As a user at a terminal would, where the redis-server that the tests found has its redis-cli beside it. */
function askWithCli(): Ask {
  const folders = [dirname(inject('redisServer')), ...(process.env.PATH ?? '').split(delimiter)]
  const cli = folders
    .flatMap((folder) => [join(folder, 'redis-cli'), join(folder, 'valkey-cli')])
    .find((path) => existsSync(path))
  if (cli === undefined) return askWithLibrary()
  return async (...command) => {
    const { stdout } = await run(cli, ['-u', inject('redisUrl'), ...command.map(String)])
    return stdout.trimEnd().split('\n')
  }
}

interface Entry {
  readonly key: string
  readonly entryId: string
  readonly fields: Readonly<Record<string, string>>
}

const FIELDS = 5

/** Reads what XREADGROUP and XRANGE answer. */
function entriesIn(reply: readonly string[], keys: readonly string[]): Entry[] {
  const entries: Entry[] = []
  let key = keys[0] ?? ''
  for (let i = 0; i < reply.length; i += 1) {
    const text = reply[i] ?? ''
    if (keys.includes(text)) key = text
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
    const fleet = await startFleet({ size: 3, env: { SHARDS: '2', LOCK_TTL_MS: '1000' } })
    const [server, victim] = fleet.servers as [Service, Service]
    const start = Date.now() + 1_500
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
    const alice = askWithCli()
    const bob = askWithLibrary()
    for (const key of keys) {
      expect(await alice('XGROUP', 'CREATE', key, 'bookkeeping', '0', 'MKSTREAM')).toEqual(['OK'])
    }
    const read: Record<string, Entry[]> = { alice: [], bob: [] }
    const count = () => Object.values(read).flat().length
    const consume = async (name: string, ask: Ask) => {
      const streams = ['STREAMS', ...keys, ...keys.map(() => '>')]
      for (const giveUpAt = performance.now() + 20_000; performance.now() < giveUpAt && count() < COUNT; ) {
        const order = ['GROUP', 'bookkeeping', name, 'COUNT', 20, 'BLOCK', 200, ...streams]
        const entries = entriesIn(await ask('XREADGROUP', ...order), keys)
        read[name]?.push(...entries)
        for (const key of keys) {
          const ids = entries.flatMap((entry) => (entry.key === key ? [entry.entryId] : []))
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
    const fleet = await startFleet({ size: 1 })
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
    const ask = askWithLibrary()
    const isDelivered = async () =>
      (await server.call('GET', '/v1/messages/s-49')).body.status === 'delivered'
    await until('all are moved', isDelivered)
    const entries = entriesIn(await ask('XRANGE', key, '-', '+'), [key])
    expect(entries.map(({ fields }) => fields.id)).toEqual(messages.slice(-10).map(({ id }) => id))
  })
})
