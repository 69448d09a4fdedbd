import { describe, expect, it } from 'vitest'
import { serversKeyOf } from '../../src/store/keys.ts'
import { SERVER_GONE_AFTER_MS } from '../../src/store/scripts/membership.ts'
import { useScripts } from '../support/script-world.ts'

/** Which servers are there. */
export function describeHeartbeat(kind: string, redisUrl: () => string, shard: number): void {
  describe(`heartbeats on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)

    describe('heartbeat', () => {
      it('tells who is alive, and one that leaves is gone at once', async () => {
        const w = world()
        const beat = async (id: string, description: string | null) =>
          (await w.scripts.heartbeat({ id, description }, true)).alive
        expect(await beat('a', '{"version":"1"}')).toEqual(new Map([['a', '{"version":"1"}']]))
        expect(await beat('b', 'two\nlines')).toEqual(
          new Map([
            ['a', '{"version":"1"}'],
            ['b', 'two\nlines'],
          ]),
        )
        expect(await beat('a', null)).toEqual(new Map([['b', 'two\nlines']]))
        expect((await w.scripts.heartbeat(null, true)).alive).toEqual(new Map([['b', 'two\nlines']]))
      })

      it('tells nobody who does not look, and has heard of it all the same', async () => {
        const w = world()
        await w.scripts.heartbeat({ id: 'a', description: 'one' }, true)
        const { alive, now } = await w.scripts.heartbeat({ id: 'b', description: 'two' }, false)
        expect(alive).toEqual(new Map())
        expect(now).toBeGreaterThan(0)
        expect([...(await w.scripts.heartbeat(null, true)).alive.keys()].sort()).toEqual(['a', 'b'])
      })

      it('forgets, to the millisecond, who was not heard of for too long', async () => {
        const w = world()
        const key = serversKeyOf(w.namespace)
        const before = await w.now()
        const heard = Array.from({ length: 1_500 }, (_, i) => before - SERVER_GONE_AFTER_MS - 100 + i)
        await w.client.hset(key, ...heard.flatMap((at) => [`s${at}`, `${at} x`]))
        const { alive } = await w.scripts.heartbeat({ id: 'self', description: 'x' }, true)
        // What it wrote of itself tells the clock that it went by.
        const now = Number((await w.client.hget(key, 'self'))?.split(' ')[0])
        const expected = heard.filter((at) => now - at <= SERVER_GONE_AFTER_MS).map((at) => `s${at}`)
        expect(expected.length).toBeLessThan(heard.length)
        expect(new Set(alive.keys())).toEqual(new Set([...expected, 'self']))
        expect(new Set(await w.client.hkeys(key))).toEqual(new Set(alive.keys()))
        w.pass(60_000)
        expect((await w.scripts.heartbeat(null, true)).alive).toEqual(new Map())
        expect(await w.client.exists(key)).toBe(0)
      })
    })
  })
}
