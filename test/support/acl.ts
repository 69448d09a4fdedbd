import { onTestFinished } from 'vitest'
import { aclRule } from '../../src/store/permissions.ts'
import { startFleet } from './fleet.ts'
import { freshNamespace } from './namespace.ts'
import { startCluster, startRedis, type TestRedis } from './redis.ts'
import { startSentinels } from './sentinels.ts'
import type { Service } from './service.ts'

/** A Redis of the test's own whose servers log in as the user `app`. */
export interface Store {
  /** as the user `app` */
  readonly url: string
  readonly nodes: readonly TestRedis[]
  readonly isCluster: boolean
}

export async function startSingle(): Promise<Store> {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  return { url: redis.url.replace('://', '://app:pw@'), nodes: [redis], isCluster: false }
}

export async function startWithSentinels(): Promise<Store> {
  const sentinels = await startSentinels({ downAfterMs: 60_000 })
  onTestFinished(() => sentinels.stop())
  return { url: sentinels.url.replace('://', '://app:pw@'), nodes: sentinels.nodes, isCluster: false }
}

export async function startNodes(): Promise<Store> {
  const cluster = await startCluster()
  onTestFinished(() => cluster.stop())
  const url = cluster.masters.map((node) => node.url.replace('://', '://app:pw@')).join(',')
  return { url, nodes: cluster.masters, isCluster: true }
}

/** Gives the user `app` the documented minimum of rights on every node, and then these rules. */
export async function setRights(
  { nodes, isCluster }: Store,
  namespace: string,
  ...rules: string[]
): Promise<void> {
  const [, , user = '', ...least] = aclRule({
    namespace,
    username: 'app',
    isCluster,
    hasDatabase: false,
  }).split(' ')
  for (const { client } of nodes)
    await client.call('ACL', 'SETUSER', user, 'reset', 'on', '>pw', ...least, ...rules)
}

/** Starts a server whose user has the documented minimum of rights, and then these rules. */
export async function startWithRights(
  store: Store,
  rules: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
) {
  const namespace = freshNamespace()
  await setRights(store, namespace, ...rules)
  const fleet = await startFleet({
    size: 1,
    redisUrl: store.url,
    // The user of the servers may not read all keys.
    audited: false,
    env: { NAMESPACE: namespace, WEBHOOK_ALLOW: '127.0.0.1', ...env },
  })
  const [server] = fleet.servers as [Service]
  return { namespace, server, fleet }
}

/** The lines of a server's log at the level error. */
export const errorsOf = ({ log }: Service) => log.filter(({ level }) => Number(level) >= 50)

/** The status that a server answers to a GET. */
export const statusOf = async (server: Service, path: string) => (await server.get(path)).status

/** Every way to run Redis: its name, how to start it, and the settings that servers need for it. */
export const REDIS_KINDS: readonly [string, () => Promise<Store>, Readonly<Record<string, string>>][] = [
  ['a single Redis', startSingle, {}],
  ['a master with sentinels', startWithSentinels, {}],
  ['a cluster', startNodes, { SHARDS: '3' }],
]
