import { Cluster, type Redis } from 'ioredis'
import type { RetryPolicy } from '../domain/message.ts'
import { guardKeyOf, keysOf, type ShardKeys } from './keys.ts'
import { loadScript } from './lua.ts'
import { NOT_READY, toSchedulerError } from './redis-errors.ts'

export type Argument = string | number
export type Command = (...args: Argument[]) => Promise<unknown[]>

/** What bounds the messages that are no longer scheduled. */
export interface Retention {
  /** outcomes kept, over all shards */
  readonly historyMax: number
  readonly historyTtlMs: number
  readonly dedupWindowMs: number
  /** dead letters kept, over all shards */
  readonly deadMax: number
  readonly deadTtlMs: number
}

export interface ScriptsOptions {
  readonly namespace: string
  /** among how many shards historyMax and deadMax are divided at present; 1 unless given */
  readonly shards?: () => number
  readonly retention: Retention
  /** for what messages do not say themselves */
  readonly retry: Required<RetryPolicy>
  /** a claim that expires after so many makes its message a dead letter */
  readonly maxRecoveries: number
  /** moves Redis's clock in tests, ms */
  readonly clockOffsetMs?: () => number
}

/** So long a preflight of a self-restoring script holds in a shard. */
const PREFLIGHT_EVERY_MS = 100

/**
 * Makes a command of a script; its arguments are the script's keys, then its ARGV.
 *
 * Scripts build the names of further keys of their shard, of which a cluster knows nothing: there every call names a
 * guard besides, so that none runs while a slot is being moved and some of its keys are elsewhere already.
 *
 * A cluster that is away is not called: its client would keep the call and make it when it is back.
 *
 * The command rejects with a SchedulerError as toSchedulerError says. Every script answers a list.
 *
 * @param undoes whether the script undoes what it wrote when Redis refuses it half-way. Its preflight, which tells the
 *   same before the first write, then comes in the first call of a shard, after a failure, and every 100 ms: in each
 *   call it would take a fifth of a call for one message.
 */
export function defineScript(client: Redis | Cluster, name: string, undoes = false): Command {
  const { lua, preflighted, numberOfKeys } = loadScript(name)
  const isCluster = client instanceof Cluster
  const define = (command: string, text: string) => {
    client.defineCommand(command, { lua: text, numberOfKeys: isCluster ? numberOfKeys + 1 : numberOfKeys })
    return (client as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>)[command]
  }
  const callPreflighted = define(`carillon:${name}`, preflighted)
  const call = undoes ? define(`carillon:${name}:alone`, lua) : callPreflighted
  const preflights = new Map<string, number>()
  return async (...args) => {
    const shard = String(args[0])
    if (isCluster) {
      if (client.status !== 'ready') throw toSchedulerError(`${name}.lua`, new Error(NOT_READY))
      args.splice(numberOfKeys, 0, guardKeyOf(shard))
    }
    const sentAt = undoes ? performance.now() : 0
    const isPreflighted =
      undoes && sentAt - (preflights.get(shard) ?? -PREFLIGHT_EVERY_MS) >= PREFLIGHT_EVERY_MS
    const reply = await (isPreflighted ? callPreflighted : call)
      ?.apply(client, args)
      .catch((error: unknown) => {
        preflights.delete(shard)
        throw toSchedulerError(`${name}.lua`, error)
      })
    if (isPreflighted) preflights.set(shard, sentAt)
    if (!Array.isArray(reply)) throw new TypeError(`${name}.lua answered ${JSON.stringify(reply)}`)
    return reply
  }
}

/** @returns a shard's part of a number for all of them; the parts add up to it */
export const partOf = (whole: number, { shards = () => 1 }: ScriptsOptions, shard: number): number => {
  const count = shards()
  return Math.floor(whole / count) + (shard < whole % count ? 1 : 0)
}

/** @returns a shard's keys, each made once */
export function keyBook(namespace: string): (shard: number) => ShardKeys {
  const shards = new Map<number, ShardKeys>()
  return (shard) => {
    let found = shards.get(shard)
    if (found === undefined) {
      found = keysOf(shard, namespace)
      shards.set(shard, found)
    }
    return found
  }
}

/** Takes one of a closed set of words from a reply. @throws TypeError naming the script for any other */
export const oneOf =
  <T extends string>(script: string, words: readonly T[]) =>
  (reply: unknown): T => {
    const found = words.find((word) => word === reply)
    if (found === undefined) throw new TypeError(`${script}.lua answered ${JSON.stringify(reply)}`)
    return found
  }

/** "" stands for no number. */
export const numberOrNull = (reply: unknown): number | null => (reply === '' ? null : Number(reply))
