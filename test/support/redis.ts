import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster, Redis } from 'ioredis'
import { inject } from 'vitest'
import { endChild, startChild } from './children.ts'
import { whenTestEnds, withoutOwner } from './owner.ts'
import { until } from './until.ts'

export interface TestRedis {
  readonly url: string
  readonly port: number
  /** a connection for the test itself; closed by `stop` */
  readonly client: Redis
  /** Ends it with SIGKILL, as in a crash. */
  kill(): Promise<void>
  /** Starts it again with the same data, after `kill`. */
  start(): Promise<void>
  signal(signal: NodeJS.Signals): void
  stop(): Promise<void>
}

export interface TestRedisOptions {
  readonly redisServer?: string
  /** a free one unless given */
  readonly port?: number
  readonly args?: readonly string[]
}

/** Starts a redis-server that writes to disk before it answers. It ends with the test at the latest. */
export async function startRedis({
  redisServer,
  port: wanted,
  args = [],
}: TestRedisOptions = {}): Promise<TestRedis> {
  const binary = redisServer ?? inject('redisServer')
  const dir = await mkdtemp(join(tmpdir(), 'carillon-test-'))
  const port = wanted ?? (await freePort())
  // No rewriting: the child that rewrites the file outlives its parent, and keeps all connections open.
  const durable = [
    ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
    ...['--auto-aof-rewrite-percentage', '0'],
    // A replica gets its first copy without delay.
    ...['--repl-diskless-sync-delay', '0'],
  ]
  let child: ChildProcess | undefined
  const client = new Redis({
    port,
    protocol: 2,
    lazyConnect: true,
    retryStrategy: () => 20,
    maxRetriesPerRequest: null,
  })
  client.on('error', () => undefined)

  // A restarted one belongs to the test or hook that started it first, which ends it by `stop`.
  const start = () => withoutOwner(startUnowned)
  const startUnowned = async () => {
    child = startChild(
      binary,
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, ...durable, ...args],
      { stdio: 'ignore' },
    )
    const ended = once(child, 'exit').then(() => {
      throw new Error(`redis-server on port ${port} has ended`)
    })
    const answers = until('redis-server answers', async () => (await client.ping()) === 'PONG')
    // The later of the two is ignored.
    for (const each of [ended, answers]) each.catch(() => undefined)
    await Promise.race([answers, ended])
  }
  const kill = async () => {
    if (child !== undefined) await endChild(child)
  }
  const stop = async () => {
    client.disconnect()
    await kill()
    await rm(dir, { recursive: true, force: true })
  }
  whenTestEnds(stop)
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    client,
    kill,
    start,
    signal: (signal) => void child?.kill(signal),
    stop,
  }
}

const SLOTS = 16_384

export interface TestCluster {
  /** of the nodes that were masters at the start */
  readonly url: string
  readonly masters: readonly TestRedis[]
  /** the replica of each master, in the same order; empty unless wanted */
  readonly replicas: readonly TestRedis[]
  /** @returns the node that owns the slot of a key, by what another node says */
  masterOf(key: string, askedOf?: TestRedis): Promise<TestRedis>
  stop(): Promise<void>
}

export interface TestClusterOptions {
  readonly redisServer?: string
  readonly replicated?: boolean
  readonly args?: readonly string[]
  /** @returns the port that clients are told for the node at `port`, as with a proxy in front of it */
  readonly announce?: (port: number) => Promise<number>
  /** more arguments of each node, and the port at which the other nodes reach it */
  readonly argsOf?: () => Promise<{ readonly args: readonly string[]; readonly meetAt: number }>
}

/** Starts a Redis Cluster of three masters, each with a replica if wanted. All are child processes. */
export async function startCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { replicated = false, announce = async (port) => port, ...others } = options
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...(options.args ?? [])]
  const announced = new Map<TestRedis, number>()
  const meetAt: number[] = []
  const start = async () => {
    const port = await freePort()
    const told = await announce(port)
    const more = await options.argsOf?.()
    const ports = ['--cluster-announce-port', told, '--cluster-announce-bus-port', port + BUS_ABOVE].map(
      String,
    )
    const all = [...args, ...(told === port ? [] : ports), ...(more?.args ?? [])]
    const node = await startRedis({ ...others, port, args: all })
    announced.set(node, told)
    meetAt.push(more?.meetAt ?? node.port)
    return node
  }
  const masters = await Promise.all([1, 2, 3].map(start))
  const replicas = replicated ? await Promise.all(masters.map(start)) : []
  const nodes = [...masters, ...replicas]
  const [first] = nodes
  for (const [i, node] of masters.entries()) {
    const from = Math.floor((i * SLOTS) / masters.length)
    const to = Math.floor(((i + 1) * SLOTS) / masters.length) - 1
    await node.client.call('CLUSTER', 'ADDSLOTSRANGE', from, to)
  }
  // A node that meets itself changes nothing.
  for (const node of nodes) await node.client.call('CLUSTER', 'MEET', '127.0.0.1', meetAt[0] ?? 0)
  const isWhole = async (node: TestRedis) => {
    const info = String(await node.client.call('CLUSTER', 'INFO'))
    // Nodes forward what is published only after they are connected to each other.
    const known = String(await node.client.call('CLUSTER', 'NODES'))
    const isConnected = !/ (handshake|disconnected)/.test(known)
    return (
      info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`) && isConnected
    )
  }
  await until('the cluster is whole', async () => (await Promise.all(nodes.map(isWhole))).every(Boolean))
  for (const [i, replica] of replicas.entries()) {
    const id = await masters[i]?.client.call('CLUSTER', 'MYID')
    await replica.client.call('CLUSTER', 'REPLICATE', String(id))
  }
  for (const replica of replicas) {
    await until('a replica is in step', async () =>
      (await replica.client.info('replication')).includes('master_link_status:up'),
    )
  }
  return {
    url: masters.map((node) => `redis://127.0.0.1:${announced.get(node)}`).join(','),
    masters,
    replicas,
    async masterOf(key, askedOf = first) {
      const slot = Number(await askedOf?.client.call('CLUSTER', 'KEYSLOT', key))
      const ranges = (await askedOf?.client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
      const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
      const found = nodes.find((node) => announced.get(node) === port)
      if (found === undefined) throw new Error(`no node of this cluster holds ${key}`)
      return found
    },
    stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
  }
}

/** Deletes every key of a namespace, since tests share one Redis. */
export async function clearNamespace(client: Redis | Cluster, namespace: string): Promise<void> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  for (const node of nodes) {
    for (const pattern of [`{${namespace}:*`, `${namespace}:*`]) {
      for await (const keys of node.scanStream({ match: pattern, count: 10_000 })) {
        await Promise.all((keys as string[]).map((key) => node.unlink(key)))
      }
    }
  }
}

const BUS_ABOVE = 10_000

/** A free port, and a free one above it for the bus of a cluster. Both are below the ephemeral ports. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 10_000)
    if ((await hasServerMadeId(port)) && (await hasServerMadeId(port + BUS_ABOVE))) return port
  }
}

const hasServerMadeId = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
