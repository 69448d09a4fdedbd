import type { Cluster, Redis } from 'ioredis'
import { toSchedulerError } from './failures.ts'
import { keysOf, type ShardKeys, wakeChannelOf } from './keys.ts'
import { loadScript } from './lua.ts'

export interface ScheduleEntry {
  readonly id: string
  /** epoch ms */
  readonly dueAt: number
  /** "future": stored only if `dueAt` has not come yet by Redis's clock */
  readonly rule: 'future' | 'any'
  /** the record without its due time, see message.ts */
  readonly body: string
}

export type ScheduleWord = 'scheduled' | 'exists' | 'past'

export interface Claim {
  readonly id: string
  /** when this attempt was due, epoch ms: the message's own due time or that of a retry */
  readonly attemptDueAt: number
  readonly record: string
  /** failed deliveries so far */
  readonly failures: number
  /** claims so far that ended because their server did not settle them in time */
  readonly recoveries: number
}

export interface ClaimReply {
  readonly claims: readonly Claim[]
  /** Redis's clock at the claim, epoch ms */
  readonly now: number
  /** ms until the next message is due; null when none is scheduled */
  readonly nextDueInMs: number | null
  /** expired claims put back to due by this call */
  readonly recovered: number
}

export type Release =
  | { readonly id: string; readonly why: 'failed'; readonly retryInMs: number }
  | { readonly id: string; readonly why: 'returned'; readonly dueAt: number }

/**
 * The Lua scripts as methods; see the header of each file in `lua/` for what it writes and costs.
 *
 * Every method throws SchedulerError STORE_UNAVAILABLE when Redis did not confirm (the call may or may not
 * have run) and STORE_FULL when it refused for lack of memory.
 */
export interface Scripts {
  /**
   * @returns one word per entry, in order; the ms until the next message if one of them became it; and
   *   Redis's clock, epoch ms
   * @see lua/schedule.lua
   */
  schedule(
    shard: number,
    entries: readonly ScheduleEntry[],
  ): Promise<{ words: ScheduleWord[]; headInMs: number | null; now: number }>
  /** @see lua/claim.lua */
  claim(shard: number, args: { token: string; limit: number; lockMs: number }): Promise<ClaimReply>
  /** @returns the ids whose lock no longer held the token @see lua/acknowledge.lua */
  acknowledge(shard: number, args: { token: string; ids: readonly string[] }): Promise<string[]>
  /** @returns the ids whose lock no longer held the token @see lua/release.lua */
  release(shard: number, args: { token: string; releases: readonly Release[] }): Promise<string[]>
}

type Argument = string | number
type Command = (...args: Argument[]) => Promise<unknown>

export interface ScriptsOptions {
  readonly namespace: string
  /** moves Redis's clock in tests, ms */
  readonly clockOffsetMs?: () => number
}

/** Defines the scripts on a client, once, and returns them as methods. */
export function createScripts(client: Redis | Cluster, options: ScriptsOptions): Scripts {
  const { namespace, clockOffsetMs = () => 0 } = options
  const wakeChannel = wakeChannelOf(namespace)
  const shards = new Map<number, ShardKeys>()
  const keys = (shard: number): ShardKeys => {
    let found = shards.get(shard)
    if (found === undefined) {
      found = keysOf(shard, namespace)
      shards.set(shard, found)
    }
    return found
  }

  const define = (name: string): Command => {
    const { lua, numberOfKeys } = loadScript(name)
    const commandName = `carillon_${name}`
    client.defineCommand(commandName, { lua, numberOfKeys })
    // defineCommand adds a method that the client's type cannot know.
    const commands = client as unknown as Record<string, Command>
    return async (...args) => {
      try {
        return await (commands[commandName] as Command).apply(client, args)
      } catch (error) {
        throw toSchedulerError(name, error)
      }
    }
  }
  const schedule = define('schedule')
  const claim = define('claim')
  const acknowledge = define('acknowledge')
  const release = define('release')

  return {
    async schedule(shard, entries) {
      const { scheduled, messages } = keys(shard)
      const args: Argument[] = [scheduled, messages, clockOffsetMs(), wakeChannel, shard]
      for (const { id, dueAt, rule, body } of entries) args.push(id, dueAt, rule, body)
      const [now, head, ...refused] = list('schedule', await schedule(...args))
      const words = new Array<ScheduleWord>(entries.length).fill('scheduled')
      for (let i = 0; i < refused.length; i += 2) {
        words[Number(refused[i]) - 1] = refusal(refused[i + 1])
      }
      return { words, headInMs: head === '' ? null : Number(head), now: Number(now) }
    },

    async claim(shard, { token, limit, lockMs }) {
      const { scheduled, claimed, messages, attempts, lockPrefix } = keys(shard)
      const reply = list(
        'claim',
        await claim(
          scheduled,
          claimed,
          messages,
          attempts,
          clockOffsetMs(),
          lockPrefix,
          token,
          limit,
          lockMs,
        ),
      )
      const claims: Claim[] = []
      for (let i = 3; i < reply.length; i += 4) {
        const [failures, recoveries] = counts(String(reply[i + 3]))
        claims.push({
          id: String(reply[i]),
          attemptDueAt: Number(reply[i + 1]),
          record: String(reply[i + 2]),
          failures,
          recoveries,
        })
      }
      const [now, nextDueIn, recovered] = reply
      return {
        claims,
        now: Number(now),
        nextDueInMs: nextDueIn === '' ? null : Number(nextDueIn),
        recovered: Number(recovered),
      }
    },

    async acknowledge(shard, { token, ids }) {
      const { claimed, messages, attempts, lockPrefix } = keys(shard)
      return strings('acknowledge', await acknowledge(claimed, messages, attempts, lockPrefix, token, ...ids))
    },

    async release(shard, { token, releases }) {
      const { scheduled, claimed, attempts, lockPrefix } = keys(shard)
      const args: Argument[] = [
        scheduled,
        claimed,
        attempts,
        clockOffsetMs(),
        wakeChannel,
        shard,
        lockPrefix,
        token,
      ]
      for (const entry of releases) {
        args.push(entry.id, entry.why, entry.why === 'failed' ? entry.retryInMs : entry.dueAt)
      }
      return strings('release', await release(...args))
    },
  }
}

function list(script: string, reply: unknown): unknown[] {
  if (!Array.isArray(reply)) throw new TypeError(`${script}.lua answered ${JSON.stringify(reply)}`)
  return reply
}

const strings = (script: string, reply: unknown): string[] => list(script, reply).map(String)

function refusal(word: unknown): ScheduleWord {
  if (word === 'exists' || word === 'past') return word
  throw new TypeError(`schedule.lua answered ${JSON.stringify(word)}`)
}

const NO_ATTEMPTS: readonly [number, number] = [0, 0]

function counts(attempts: string): readonly [failures: number, recoveries: number] {
  if (attempts === '') return NO_ATTEMPTS
  const [failures, recoveries] = attempts.split(' ').map(Number)
  return [failures ?? 0, recoveries ?? 0]
}
