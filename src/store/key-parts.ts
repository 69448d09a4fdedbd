import { keysOf, namespaceKeysOf, operationPrefixOf, type ShardKeys, trafficKeyOf } from './keys.ts'

type KeyType = 'zset' | 'hash' | 'string' | 'set' | 'stream'

/** What each key of a shard holds, as `TYPE` names it; a name that ends in Prefix is many keys. */
const TYPES: Readonly<Record<keyof ShardKeys, KeyType>> = {
  scheduled: 'zset',
  forStreams: 'zset',
  laned: 'zset',
  hosts: 'zset',
  queues: 'zset',
  claimed: 'zset',
  dead: 'zset',
  messages: 'hash',
  attempts: 'hash',
  failures: 'hash',
  claims: 'string',
  clock: 'string',
  pauses: 'hash',
  streams: 'set',
  streamPrefix: 'stream',
  lockPrefix: 'string',
  tagPrefix: 'zset',
  history: 'hash',
  delivered: 'zset',
  dropped: 'zset',
  cancellations: 'hash',
  cancelled: 'zset',
  seenPrefix: 'string',
  callPrefix: 'string',
  stepPrefix: 'string',
}

/** What a key of a namespace is for. */
export type KeyPart =
  | { readonly of: 'namespace' | 'nothing known' }
  | {
      readonly of: 'shard'
      readonly shard: number
      /** its name in ShardKeys without Prefix, or "lane" */
      readonly part: string
      /** what is behind its prefix; "" for a key without one */
      readonly name: string
      readonly type: KeyType
    }

interface KeyTable {
  readonly fixed: ReadonlyMap<string, readonly [part: string, KeyType]>
  readonly prefixes: readonly (readonly [prefix: string, part: string, KeyType])[]
}

function keyTableOf(shard: number, namespace: string): KeyTable {
  const keys = keysOf(shard, namespace)
  const names = Object.keys(TYPES) as (keyof ShardKeys)[]
  const [prefixed, fixed] = [true, false].map((wanted) =>
    names.filter((name) => name.endsWith('Prefix') === wanted),
  )
  return {
    fixed: new Map(fixed?.map((name) => [keys[name], [name, TYPES[name]]])),
    prefixes: [
      ...(prefixed ?? []).map((name) => [keys[name], name.slice(0, -'Prefix'.length), TYPES[name]] as const),
      [`${keys.scheduled}:`, 'lane', 'zset'],
    ],
  }
}

/** @returns a function that tells what a key of the namespace is for */
export function keyReader(namespace: string): (key: string) => KeyPart {
  const ofNamespace = new Set(namespaceKeysOf(namespace))
  const operationPrefix = operationPrefixOf(namespace)
  const trafficPrefix = trafficKeyOf(namespace, 0).slice(0, -1)
  const isTraffic = (key: string) =>
    key.startsWith(trafficPrefix) && /^\d{1,10}$/.test(key.slice(trafficPrefix.length))
  const keyTables = new Map<number, KeyTable>()
  const shardOf = (key: string): number | undefined => {
    const [, digits] = /^\{[^{}:]*:(0|[1-9]\d{0,8})\}:/.exec(key) ?? []
    return digits === undefined ? undefined : Number(digits)
  }
  return (key) => {
    if (ofNamespace.has(key) || key.startsWith(operationPrefix) || isTraffic(key)) return { of: 'namespace' }
    const shard = shardOf(key)
    if (shard === undefined) return { of: 'nothing known' }
    let keyTable = keyTables.get(shard)
    if (keyTable === undefined) {
      keyTable = keyTableOf(shard, namespace)
      keyTables.set(shard, keyTable)
    }
    const fixed = keyTable.fixed.get(key)
    if (fixed !== undefined) return { of: 'shard', shard, part: fixed[0], name: '', type: fixed[1] }
    const found = keyTable.prefixes.find(([prefix]) => key.startsWith(prefix))
    if (found === undefined) return { of: 'nothing known' }
    const [prefix, part, type] = found
    return { of: 'shard', shard, part, name: key.slice(prefix.length), type }
  }
}

/** The patterns that all keys of a namespace match, for SCAN; no namespace has a character that it reads otherwise. */
export const patternsOf = (namespace: string): readonly string[] => [`{${namespace}:*`, `${namespace}:*`]
