import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, inject, it } from 'vitest'
import { SchedulerError } from '../../../src/domain/errors.ts'
import type { Draft } from '../../../src/messages/draft.ts'
import { encodeRecordBody } from '../../../src/records/record.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { claimAll } from '../../support/claim-all.ts'
import { commitTo, draft } from '../../support/committing.ts'
import { delivered, mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'

const world = useScripts(() => inject('redisUrl'))

/** The real script, of which the reply to one call is lost. */
function losingReply(w: ScriptWorld, lostCall: number): Pick<Scripts, 'schedule'> & { calls: number } {
  const lossy = {
    calls: 0,
    async schedule(...args: Parameters<Scripts['schedule']>) {
      lossy.calls += 1
      const isLost = lossy.calls === lostCall
      const reply = await w.scripts.schedule(...args)
      if (isLost)
        throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
      return reply
    },
  }
  return lossy
}

describe('a call of the group commit', () => {
  it('stores a message once though the reply was lost and the call repeated', async () => {
    const w = world()
    const scripts = losingReply(w, 1)
    const { id } = await commitTo(scripts).add(draft((await w.now()) + 60_000))
    expect(scripts.calls).toBe(2)
    expect(await w.client.hkeys(w.keys.messages)).toEqual([id])
  })

  it.each([{ at: 1 }, { inMs: 0 }, { inMs: 1_000 }, { future: true }])(
    'accepts, and stores once, what came due and was delivered while the reply was lost: %j',
    async (due) => {
      const w = world()
      const scripts: Pick<Scripts, 'schedule'> = {
        async schedule(...args) {
          const reply = await w.scripts.schedule(...args)
          if (reply.ranAt !== reply.now) return reply
          w.pass(2_000)
          const { claims } = await claimAll(w.scripts, 0, { token: 't', lockMs: 5_000, room: mainRoom(1) })
          await w.scripts.acknowledge(0, delivered('t', ...claims.map(({ id }) => id)))
          throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
        },
      }
      const now = await w.now()
      const asked: Draft =
        'future' in due ? draft(now + 1_500) : { due, future: false, body: encodeRecordBody('"x"') }
      const { id, dueAt } = await commitTo(scripts).add(asked)
      expect(dueAt).toBeLessThan(now + 1_900)
      expect(await w.client.zcard(w.keys.scheduled)).toBe(0)
      expect(await w.client.zrange(w.keys.delivered, '0', '-1')).toEqual([id])
    },
  )

  it("answers a message with a client's id as new, though the reply was lost and the call repeated", async () => {
    const w = world()
    const own = { id: 'mine', shard: 0, validUntil: Number.MAX_SAFE_INTEGER }
    const body = encodeRecordBody('"x"', {}, 'print')
    const added = { ...draft((await w.now()) + 60_000), own, body }
    expect(await commitTo(losingReply(w, 1)).add(added)).toMatchObject({ id: 'mine', duplicate: false })
    expect(await commitTo(w.scripts).add(added)).toMatchObject({ id: 'mine', duplicate: true })
  })

  it('stores what was due in the future when it came, though its call got through only later', async () => {
    const w = world()
    let calls = 0
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(...args) {
        calls += 1
        if (calls > 1) return w.scripts.schedule(...args)
        w.pass(500)
        throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
      },
    }
    const dueAt = (await w.now()) + 400
    const { id } = await commitTo(scripts).add(draft(dueAt))
    expect(await w.client.zscore(w.keys.scheduled, id)).toBe(String(dueAt))
  })

  it('tells a message without an id of the client the one it may be stored under, when that is unknown', async () => {
    const w = world()
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(...args) {
        await w.scripts.schedule(...args)
        throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
      },
    }
    const error = await commitTo(scripts)
      .add(draft((await w.now()) + 60_000))
      .catch((reason: SchedulerError) => reason)
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', outcomeUnknown: true, id: expect.any(String) })
    expect(await w.client.hkeys(w.keys.messages)).toEqual([error.id])
  })

  it('hears from a call that comes too late what time it is, and makes it again', async () => {
    const w = world()
    w.pass(3_600_000)
    const { id } = await commitTo(w.scripts).add(draft((await w.now()) + 60_000))
    expect(await w.client.hkeys(w.keys.messages)).toEqual([id])
  })

  it.each(['that never ran', 'whose reply was lost'])(
    'stores its own message, too, where another server has made the same id and the call is one %s',
    async (which) => {
      const w = world()
      const taken: string[] = []
      const scripts: Pick<Scripts, 'schedule'> = {
        async schedule(shard, entries, call) {
          if (taken.length > 0) return w.scripts.schedule(shard, entries, call)
          taken.push(...entries.map(({ id }) => id))
          await w.scripts.schedule(
            shard,
            entries.map((entry) => ({ ...entry, body: '\n"theirs"' })),
          )
          if (which !== 'that never ran') await w.scripts.schedule(shard, entries, call)
          throw new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
        },
      }
      const dueAt = (await w.now()) + 60_000
      const { id } = await commitTo(scripts).add(draft(dueAt))
      expect(taken).not.toContain(id)
      expect(await w.client.hgetall(w.keys.messages)).toEqual({
        [id]: `${dueAt}\n"x"`,
        [taken[0] ?? '']: `${dueAt}\n"theirs"`,
      })
    },
  )

  it('makes a new id where another server has made the same one', async () => {
    const w = world()
    const taken: string[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(shard, entries, call) {
        if (taken.length === 0) {
          taken.push(...entries.map(({ id }) => id))
          await w.scripts.schedule(
            shard,
            entries.map((entry) => ({ ...entry, body: '\n"theirs"' })),
          )
        }
        return w.scripts.schedule(shard, entries, call)
      },
    }
    const dueAt = (await w.now()) + 60_000
    const { id } = await commitTo(scripts).add(draft(dueAt))
    expect(taken).not.toContain(id)
    expect(await w.client.hget(w.keys.messages, id)).toBe(`${dueAt}\n"x"`)
    expect(await w.client.hget(w.keys.messages, taken[0] ?? '')).toBe(`${dueAt}\n"theirs"`)
  })

  it('stores each message once, whatever copies of its call come when, and whichever answers are lost', async () => {
    const w = world()
    const lost = () =>
      new SchedulerError('STORE_UNAVAILABLE', 'the connection was lost', { outcomeUnknown: true })
    const late: Promise<unknown>[] = []
    const scripts: Pick<Scripts, 'schedule'> = {
      async schedule(...args) {
        const fate = Math.random()
        if (fate < 0.2) throw lost()
        if (fate < 0.4) {
          late.push(delay(Math.random() * 300).then(() => w.scripts.schedule(...args)))
          throw lost()
        }
        const copies = Array.from({ length: 1 + Math.floor(Math.random() * 3) }, () =>
          w.scripts.schedule(...args),
        )
        const [reply] = await Promise.all(copies)
        if (fate < 0.6 || reply === undefined) throw lost()
        return reply
      },
    }
    const commit = commitTo(scripts)
    const COUNT = 300
    const taken: string[] = []
    const settled = await Promise.all(
      Array.from({ length: COUNT }, async (_, i) => {
        await delay(Math.random() * 500)
        const body = encodeRecordBody(JSON.stringify(`message ${i}`))
        // Some are due, delivered and forgotten while their call is still sent again.
        return commit.add({ due: { inMs: i % 3 === 0 ? 0 : 60_000 }, future: false, body }).then(
          ({ id }) => [id, i],
          ({ id }: SchedulerError) => [id, i],
        )
      }),
    )
    await Promise.all(late)
    for (;;) {
      const { claims } = await claimAll(w.scripts, 0, { token: 't', lockMs: 5_000, room: mainRoom(100) })
      if (claims.length === 0) break
      taken.push(...claims.map(({ id }) => id))
    }
    const records = await w.client.hgetall(w.keys.messages)
    const payloads = Object.values(records).map((record) => record.split('\n')[1])
    expect(new Set(payloads).size).toBe(payloads.length)
    for (const [id, i] of settled) {
      const record = records[String(id)]
      if (record !== undefined) expect(record.split('\n')[1]).toBe(`"message ${i}"`)
    }
    expect(taken.length).toBe(new Set(taken).size)
    expect(payloads.length).toBeGreaterThan(COUNT * 0.9)
  })
})
