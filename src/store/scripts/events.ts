import { Cluster, type Redis } from 'ioredis'
import { namespaceDefine } from '../define-script.ts'
import { wakeChannelOf } from '../keys.ts'
import { NOT_READY, toSchedulerError } from '../redis-errors.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** What is published for servers that collect events, see wake-listener.ts. */
export const EVENTS_WANTED = 'events wanted'
export const EVENTS_WANTED_WITH_PAYLOADS = 'events wanted with payloads'

/** An entry of the ring as Redis has it; see lua/events/append-events.lua. */
export interface RawEntry {
  readonly id: string
  readonly previous: string
  readonly totals: string
  readonly lost: string
  readonly lines: string
}

export interface RingPage {
  readonly entries: readonly RawEntry[]
  /** whether there may be more behind them */
  readonly more: boolean
}

/** @property lost counts of types as text, "" for none */
export interface NewEntry {
  /** unique to the entry */
  readonly token: string
  /** whether an earlier call for it may have run */
  readonly repeated: boolean
  readonly lines: string
  readonly count: number
  readonly lost: string
  readonly types: readonly (readonly [type: string, times: number])[]
}

/** The ring of events. Each rejects with a SchedulerError as toSchedulerError says. */
export interface EventScripts {
  /** @returns whether it was added now; false if an earlier call had @see lua/events/append-events.lua */
  append(entry: NewEntry): Promise<boolean>
  /**
   * Some entries, oldest first.
   *
   * @param from an entry's id, `(` in front of it for those behind it
   * @see lua/events/read-events.lua
   */
  read(from: string): Promise<RingPage>
  /** The newest entry; undefined for an empty ring. */
  newest(): Promise<RawEntry | undefined>
  /** Tells all servers that there is a listener. */
  announce(withPayloads: boolean): Promise<void>
}

/** Events of entries that are read at a time. */
const PAGE_EVENTS = 500

/** @param most events that the ring keeps */
export function createEventScripts(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace'>,
  most: number,
): EventScripts {
  const define = namespaceDefine(client, options)
  const append = define('append-events', {
    args: ['token', 'repeated', 'most', 'lost', 'lines', 'count'],
    each: {
      type: ([type]: NewEntry['types'][number]) => type,
      times: ([, times]) => times,
    },
    timed: true,
  })
  const read = define('read-events', { args: ['from', 'most'], timed: true })
  const toEntries = (reply: readonly unknown[]) => {
    const entries: RawEntry[] = []
    for (let i = 1; i < reply.length; i += 5) {
      const [id = '', previous = '', totals = '', lost = '', lines = ''] = reply.slice(i, i + 5).map(String)
      entries.push({ id, previous, totals, lost, lines })
    }
    return entries
  }
  return {
    async append({ types, repeated, ...entry }) {
      const [id] = await append(0, { ...entry, most, repeated: repeated ? 1 : 0 }, types)
      return id !== ''
    },
    async read(from) {
      const reply = await read(0, { from, most: PAGE_EVENTS })
      return { entries: toEntries(reply), more: reply[0] === 1 }
    },
    newest: async () => toEntries(await read(0, { from: '', most: 1 }))[0],
    async announce(withPayloads) {
      try {
        if (client instanceof Cluster && client.status !== 'ready') throw new Error(NOT_READY)
        const text = withPayloads ? EVENTS_WANTED_WITH_PAYLOADS : EVENTS_WANTED
        await client.publish(wakeChannelOf(options.namespace), text)
      } catch (error) {
        throw toSchedulerError('publish', error)
      }
    },
  }
}
