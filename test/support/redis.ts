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
  /** A connection for looking inside; closed by `stop`. */
  readonly client: Redis
  /** kill -9, as a crash would. */
  kill(): Promise<void>
  /** Starts it again on the same data, after `kill`. */
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

/**
 * A redis-server of the test's own, with every write on disk before it is answered; it ends with the test at the
 * latest.
 */
export async function startRedis({
  redisServer,
  port: wanted,
  args = [],
}: TestRedisOptions = {}): Promise<TestRedis> {
  const binary = redisServer ?? inject('redisServer')
  const dir = await mkdtemp(join(tmpdir(), 'carillon-test-'))
  const port = wanted ?? (await freePort())
  // No rewriting: a child that rewrites the file outlives a kill of its parent, and keeps all connections open.
  const durable = [
    ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
    ...['--auto-aof-rewrite-percentage', '0'],
    // A replica's first copy comes at once.
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

  // One that is started again, in whatever test, ends by the `stop` of whoever had it first, when it is their turn.
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
    // Whichever comes later is nobody's business any more.
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
  /** the replica of each master, in the same order; none unless asked for */
  readonly replicas: readonly TestRedis[]
  /** @returns the node that holds the slot of a key, as another knows it */
  masterOf(key: string, askedOf?: TestRedis): Promise<TestRedis>
  stop(): Promise<void>
}

export interface TestClusterOptions {
  readonly redisServer?: string
  readonly replicated?: boolean
  readonly args?: readonly string[]
  /** @returns the port at which clients are told that the node of a port is, as where there is a proxy before it */
  readonly announce?: (port: number) => Promise<number>
  /** what more each node is started with, and the port at which the others meet it */
  readonly argsOf?: () => Promise<{ readonly args: readonly string[]; readonly meetAt: number }>
}

/** A Redis Cluster of three masters, each a child process, and each with a replica if asked for. */
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
  // Who meets itself stays as it is.
  for (const node of nodes) await node.client.call('CLUSTER', 'MEET', '127.0.0.1', meetAt[0] ?? 0)
  const isWhole = async (node: TestRedis) => {
    const info = String(await node.client.call('CLUSTER', 'INFO'))
    // What is published before they are connected to each other is not handed on.
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

/** Deletes every key of a namespace; tests share one Redis and leave nothing behind. */
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

/** A port that nothing uses, and for a cluster's bus the one above it: both below those that connections are given. */
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
