import type { Cluster, Redis } from 'ioredis'
import { namespaceDefine, scriptContext } from '../define-script.ts'
import { type TestClockKeys, testClockKeysOf } from '../keys.ts'
import { toSchedulerError } from '../redis-errors.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** An act that does not set the clock again within this time has lost its server. */
const HOLD_MS = 5_000

/** The test clock as Redis has it, see lua/clock/set-clock.lua, and Redis's own time in epoch ms. */
export interface ClockReading {
  readonly text: string
  readonly real: number
}

/** Where a message is due: a shard, and a lane of the kind. */
export interface Wake {
  readonly shard: number
  readonly lane: string
}

/** What is still to be done in a shard, and when something happens next. @see lua/clock/look.lua */
export interface ShardLook {
  readonly due: number
  readonly inFlight: number
  readonly forPull: number
  /** epoch ms; Infinity for never */
  readonly nextAt: number
  readonly nextDue: number
  readonly nextLanes: readonly string[]
  readonly pending: number
  /** epoch ms; Infinity for never */
  readonly nextMessageAt: number
}

/** The test clock in Redis. Each rejects with a SchedulerError as toSchedulerError says. */
export interface ClockStore {
  /** @returns an empty text if there is no test clock @see lua/clock/read-clock.lua */
  read(): Promise<ClockReading & { isActing: boolean }>
  /** Makes the clock, unless there is one. */
  create(text: string): Promise<void>
  /** Begins an act. @returns false while another one is in progress */
  begin(token: string): Promise<boolean>
  /** Keeps the act in progress for HOLD_MS more. */
  hold(): Promise<void>
  /** @returns an empty text if the act is not in progress any longer @see lua/clock/set-clock.lua */
  set(
    token: string,
    to: { at: number | 'real' | null; rate: number; resume: number | null; wakes: readonly Wake[] },
  ): Promise<ClockReading>
  /** Ends the act in progress. */
  end(): Promise<void>
  /** Notes that a server goes by a version of the clock. */
  take(serverId: string, version: number): Promise<void>
  leave(serverId: string): Promise<void>
  /** @returns the version that each server goes by */
  taken(): Promise<Map<string, number>>
  /** Notes what became of messages. @param entries by a name that is used once */
  noteOutcomes(entries: Readonly<Record<string, string>>): Promise<void>
  /** @returns what was noted since the last call */
  takeOutcomes(): Promise<string[]>
  look(shard: number, servers: readonly string[]): Promise<ShardLook>
}

export function createClockStore(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): ClockStore {
  const define = namespaceDefine(client, options)
  const readClock = define('read-clock', { timed: true })
  const setClock = define('set-clock', {
    args: ['token', 'at', 'rate', 'resume', 'holdMs'],
    each: { wake: ({ shard, lane }: Wake) => `${shard} ${lane}` },
    timed: true,
  })
  const look = scriptContext(client, options).define('look', {
    each: { server: (server: string) => server },
    timed: true,
  })
  return {
    ...plainCalls(client, testClockKeysOf(options.namespace)),
    async read() {
      const [text, real, isActing] = await readClock(0, {})
      return { text: String(text), real: Number(real), isActing: isActing === 1 }
    },
    async set(token, { at, rate, resume, wakes }) {
      const args = { token, at: at ?? '', rate, resume: resume ?? '-', holdMs: HOLD_MS }
      const [text, real] = await setClock(0, args, wakes)
      return { text: String(text), real: Number(real) }
    },
    async look(shard, servers) {
      const [due, inFlight, forPull, nextAt, nextDue, nextLanes, pending, nextMessage] = await look(
        shard,
        {},
        servers,
      )
      return {
        ...{ due: Number(due), inFlight: Number(inFlight), forPull: Number(forPull) },
        nextAt: timeOrNever(nextAt),
        nextMessageAt: timeOrNever(nextMessage),
        nextDue: Number(nextDue),
        nextLanes: String(nextLanes).split(','),
        pending: Number(pending),
      }
    },
  }
}

const timeOrNever = (text: unknown) => (text === '' ? Number.POSITIVE_INFINITY : Number(text))

/** The calls that need no script. */
function plainCalls(
  client: Redis | Cluster,
  { testClock, clockAct, clockTaken, clockOutcomes }: TestClockKeys,
): Omit<ClockStore, 'read' | 'set' | 'look'> {
  const sent = <T>(call: Promise<T>): Promise<T> =>
    call.catch((error: unknown) => {
      throw toSchedulerError('the test clock', error)
    })
  return {
    create: async (text) => void (await sent(client.set(testClock, text, 'NX'))),
    begin: async (token) => (await sent(client.set(clockAct, token, 'PX', HOLD_MS, 'NX'))) === 'OK',
    hold: async () => void (await sent(client.pexpire(clockAct, HOLD_MS))),
    end: async () => void (await sent(client.del(clockAct))),
    take: async (serverId, version) => void (await sent(client.hset(clockTaken, serverId, version))),
    leave: async (serverId) => void (await sent(client.hdel(clockTaken, serverId))),
    async taken() {
      const all = Object.entries(await sent(client.hgetall(clockTaken)))
      return new Map(all.map(([id, version]) => [id, Number(version)]))
    },
    noteOutcomes: async (entries) => void (await sent(client.hset(clockOutcomes, entries))),
    async takeOutcomes() {
      const all = await sent(client.hgetall(clockOutcomes))
      await sent(client.del(clockOutcomes))
      return Object.values(all)
    },
  }
}
