import { describe, expect, it } from 'vitest'
import { eventsKeyOf } from '../../src/store/keys.ts'
import { createEventScripts, type NewEntry } from '../../src/store/scripts/events.ts'
import { put } from '../support/acts.ts'
import { type ScriptWorld, useScripts } from '../support/script-world.ts'

/** The ring of events, which is of no shard. */
export function describeEvents(kind: string, redisUrl: () => string, shard: number): void {
  describe(`events on ${kind}`, () => {
    const world = useScripts(redisUrl, shard)
    const scriptsOf = ({ client, namespace }: ScriptWorld, most = 1_000) =>
      createEventScripts(client, { namespace }, most)
    let tokens = 0
    const entry = (count: number, more: Partial<NewEntry> = {}): NewEntry => {
      tokens += 1
      return {
        ...{ token: `s:${tokens}`, repeated: false, lost: '', count, types: [['dead', count]] },
        lines: Array.from({ length: count }, (_, i) => `dead {"id":"${i}"}`).join('\n'),
        ...more,
      }
    }

    it('are read in the order in which they were added, each entry with what came before it', async () => {
      const scripts = scriptsOf(world())
      expect(await scripts.newest()).toBeUndefined()
      expect(await scripts.read('(0-0')).toEqual({ entries: [], more: false })
      expect(await scripts.append(entry(2))).toBe(true)
      expect(await scripts.append(entry(1, { types: [['failed', 1]], lost: 'dead 3' }))).toBe(true)
      const { entries, more } = await scripts.read('(0-0')
      const [first, second] = entries
      expect(more).toBe(false)
      expect(entries).toEqual([
        {
          id: expect.stringMatching(/^\d+-\d+$/),
          previous: '',
          totals: 'dead 2',
          lost: '',
          lines: expect.any(String),
        },
        {
          id: expect.any(String),
          previous: first?.id,
          totals: 'dead 2 failed 1',
          lost: 'dead 3',
          lines: 'dead {"id":"0"}',
        },
      ])
      expect(await scripts.newest()).toEqual(second)
      expect((await scripts.read(`(${first?.id}`)).entries).toEqual([second])
      expect((await scripts.read(first?.id ?? '')).entries).toEqual([first, second])
    })

    it('are added once, however often their entry is sent', async () => {
      const scripts = scriptsOf(world())
      const sent = entry(2)
      expect(await scripts.append(sent)).toBe(true)
      await scripts.append(entry(1))
      expect(await scripts.append({ ...sent, repeated: true })).toBe(false)
      expect(await scripts.append(entry(3, { repeated: true }))).toBe(true)
      expect((await scripts.newest())?.totals).toBe('dead 6')
    })

    it('are trimmed by their own number, not that of their entries', async () => {
      const w = world()
      const scripts = scriptsOf(w, 100)
      for (let i = 0; i < 12; i += 1) await scripts.append(entry(30))
      // 90 would be too few.
      expect(await w.client.xlen(eventsKeyOf(w.namespace))).toBe(4)
      await scripts.append(entry(100))
      expect(await w.client.xlen(eventsKeyOf(w.namespace))).toBe(1)
      const { entries } = await scripts.read('(0-0')
      expect(entries[0]).toMatchObject({ totals: 'dead 460', previous: expect.stringMatching(/^\d+-\d+$/) })
    })

    it('are read 500 at a time, or 1 MiB', async () => {
      const scripts = scriptsOf(world(), 100_000)
      for (let i = 0; i < 4; i += 1) await scripts.append(entry(300))
      const first = await scripts.read('(0-0')
      expect([first.entries.length, first.more]).toEqual([2, true])
      const second = await scripts.read(`(${first.entries[1]?.id}`)
      expect([second.entries.length, second.more]).toEqual([2, true])
      expect(await scripts.read(`(${second.entries[1]?.id}`)).toEqual({ entries: [], more: false })
      const large = entry(1, { lines: `dead ${'x'.repeat(1_100_000)}` })
      await scripts.append(large)
      await scripts.append(large)
      expect((await scripts.read(`(${second.entries[1]?.id}`)).entries).toHaveLength(1)
    })

    it('have what claims did with messages that they did not return, and which were moved into streams', async () => {
      const w = world()
      const options = { notAfter: 1_000, onLate: 'drop' as const }
      await put(w, 'late', { due: { at: 1_000 }, options })
      await put(w, 'moved', { due: { at: 1_000 }, options: { destination: { type: 'stream', name: 's' } } })
      const args = { token: 't', lockMs: 1_000, limit: 10 }
      const { effects, dropped } = await w.scripts.claim(w.shard, args)
      // All of a record but the payload and the line break before it.
      const head = expect.stringMatching(/^1000\{.*"l":"drop".*\}$/)
      expect({ effects, dropped }).toEqual({
        effects: [{ kind: 'dropped', id: 'late', head, reason: 'expired' }],
        dropped: 1,
      })
      const reply = await w.scripts.moveToStreams(w.shard, { ...args, token: 'u', tells: true })
      const lateMs = reply.moved[0]
      expect(reply.movedMessages).toEqual([
        { id: 'moved', head: expect.stringMatching(/^1000\{.*"d":"stream s".*\}$/), lateMs },
      ])
      expect(await w.scripts.moveToStreams(w.shard, args)).toMatchObject({ moved: [], movedMessages: [] })
    })

    it('have the heads of messages, without their payloads', async () => {
      const { scripts, shard, entry } = world()
      await scripts.schedule(shard, [entry('a', 1_893_488_400_000)])
      expect(await scripts.heads(shard, ['none', 'a'])).toEqual(['', '1893488400000'])
    })
  })
}
