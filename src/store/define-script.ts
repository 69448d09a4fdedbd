import { Cluster, type Redis } from 'ioredis'
import { withTimeout } from '../runtime/time-limit.ts'
import { argumentsOf, type Signature } from './arguments.ts'
import { guardKeyOf, type ShardKeys } from './keys.ts'
import { loadScript } from './lua.ts'
import { NOT_READY, toSchedulerError } from './redis-errors.ts'
import {
  type Argument,
  keyCache,
  namespaceValues,
  type ScriptsOptions,
  type ScriptValues,
  shardValues,
} from './script-values.ts'

/** Every script answers a list. */
export type ScriptCall<Name extends string, Item> = (
  shard: number,
  values: Readonly<Record<Name, Argument>>,
  items?: readonly Item[],
) => Promise<unknown[]>

/**
 * Makes the call of a script: loads it, and resolves each name of its header from the call and the common arguments.
 *
 * The call rejects with a SchedulerError as toSchedulerError says.
 *
 * @throws Error naming the script when a name of its header has no source, or a given name is not in its header
 */
export type Define = <const Name extends string = never, Item = never>(
  name: string,
  signature?: Signature<Name, Item>,
) => ScriptCall<Name, Item>

/** What a file of scripts/ defines its scripts with. */
export interface ScriptContext {
  readonly define: Define
  readonly keys: (shard: number) => ShardKeys
}

/** @param options of a program that calls only scripts without settings, the namespace alone */
export function scriptContext(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace'> & Partial<ScriptsOptions>,
): ScriptContext {
  const keys = keyCache(options.namespace)
  return { keys, define: definerOf(client, shardValues(options, keys)) }
}

/** The same for scripts that are about no shard: their calls' shard is of no meaning. */
export const namespaceDefine = (
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): Define => definerOf(client, namespaceValues(options))

/** How long a preflight of a self-restoring script is valid in a shard. */
const PREFLIGHT_EVERY_MS = 100

/**
 * Scripts build names of further keys of their shard, which a cluster does not know. So every call on a cluster also
 * names a guard key, and none runs while a slot is moved and some of its keys are already elsewhere.
 *
 * A cluster that is away is not called: its client would queue the call and send it later.
 */
const definerOf =
  (client: Redis | Cluster, values: ScriptValues): Define =>
  (name, signature = {}) => {
    const { lua, preflighted, header } = loadScript(name)
    const isCluster = client instanceof Cluster
    const numberOfKeys = header.keys.length
    const argsOf = argumentsOf(name, header, signature, values, isCluster)
    const commandOf = (command: string, text: string) => {
      client.defineCommand(command, { lua: text, numberOfKeys: isCluster ? numberOfKeys + 1 : numberOfKeys })
      // What defineCommand adds to the client, the client's type does not have.
      return (client as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>)[command]
    }
    const { rollsBack = false, timed = false } = signature
    const withPreflight = commandOf(`carillon:${name}`, preflighted)
    const alone = rollsBack ? commandOf(`carillon:${name}:alone`, lua) : withPreflight
    const preflights = new Map<number, number>()
    return async (shard, given, items) => {
      const args = argsOf(shard, given, items)
      if (isCluster) {
        if (client.status !== 'ready') throw toSchedulerError(`${name}.lua`, new Error(NOT_READY))
        args[numberOfKeys] = guardKeyOf(String(args[0]))
      }
      const sentAt = rollsBack ? performance.now() : 0
      const isPreflighted =
        rollsBack && sentAt - (preflights.get(shard) ?? -PREFLIGHT_EVERY_MS) >= PREFLIGHT_EVERY_MS
      const sent = (isPreflighted ? withPreflight : alone)?.apply(client, args).catch((error: unknown) => {
        preflights.delete(shard)
        throw toSchedulerError(`${name}.lua`, error)
      })
      const reply = await (timed && sent !== undefined ? withTimeout(sent) : sent)
      if (isPreflighted) preflights.set(shard, sentAt)
      if (!Array.isArray(reply)) throw new TypeError(`${name}.lua answered ${JSON.stringify(reply)}`)
      return reply
    }
  }
