import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { inject } from 'vitest'
import { endChild, startChild } from './children.ts'
import { whenTestEnds } from './owner.ts'
import { freePort, startRedis, type TestRedis } from './redis.ts'
import { until } from './until.ts'

export interface TestSentinels {
  readonly url: string
  /** the master and its replica, at the start */
  readonly nodes: readonly [TestRedis, TestRedis]
  /** @returns the port of the master, as most sentinels see it */
  masterPort(): Promise<number>
  /** Promotes the replica to master by a planned failover: the old master becomes its replica. */
  failover(): Promise<void>
  stop(): Promise<void>
}

const NAME = 'carillon'
const QUORUM = 2

export interface TestSentinelsOptions {
  readonly redisServer?: string
  /** how long a master may be silent before it counts as down; 500 unless given */
  readonly downAfterMs?: number
  /** more arguments of the master, and then of its replica */
  readonly nodeArgs?: () => readonly string[]
  /** @returns the port at which sentinels and clients find the master at `port` */
  readonly behind?: (port: number) => Promise<number>
  /** @returns more arguments of the sentinel at `port`, and its port in the URL */
  readonly sentinelArgs?: (
    port: number,
  ) => Promise<{ readonly args: readonly string[]; readonly knownAt: number }>
  /** arguments of every sentinel */
  readonly sentinelPassword?: string
}

/** A master, its replica, and three sentinels, each a child process. */
export async function startSentinels({
  redisServer = inject('redisServer'),
  downAfterMs = 500,
  nodeArgs = () => [],
  behind = async (port) => port,
  sentinelArgs = async (knownAt) => ({ args: [], knownAt }),
  sentinelPassword,
}: TestSentinelsOptions = {}): Promise<TestSentinels> {
  const nodes = [
    await startRedis({ redisServer, args: nodeArgs() }),
    await startRedis({ redisServer, args: nodeArgs() }),
  ] as const
  const [master, replica] = nodes
  await replica.client.replicaof('127.0.0.1', master.port)
  await until('the replica is in step', async () =>
    (await replica.client.info('replication')).includes('master_link_status:up'),
  )
  const knownAt = await behind(master.port)
  const sentinels = await Promise.all(
    [1, 2, 3].map(() =>
      startSentinel({ redisServer, downAfterMs, masterPort: knownAt, sentinelArgs, sentinelPassword }),
    ),
  )
  const [first] = sentinels
  const call = async (...args: string[]) => first?.client.call('SENTINEL', ...args)
  await until('the sentinels know each other and the replica', async () => {
    const infos = await Promise.all(sentinels.map(({ client }) => client.info('sentinel')))
    return infos.every((info) => info.includes('slaves=1,sentinels=3'))
  })
  const masterPort = async () => {
    const [, port] = (await call('get-master-addr-by-name', NAME)) as string[]
    return Number(port)
  }
  return {
    url: `redis+sentinel://${sentinels.map(({ knownAt: port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    nodes,
    masterPort,
    async failover() {
      const before = await masterPort()
      await call('failover', NAME)
      await until('another is the master', async () => (await masterPort()) !== before)
    },
    async stop() {
      await Promise.all(sentinels.map((sentinel) => sentinel.stop()))
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

type SentinelOptions = Required<
  Pick<TestSentinelsOptions, 'redisServer' | 'downAfterMs' | 'sentinelArgs'>
> & {
  readonly masterPort: number
  readonly sentinelPassword: string | undefined
}

async function startSentinel(options: SentinelOptions) {
  const { redisServer, downAfterMs, masterPort, sentinelArgs, sentinelPassword } = options
  const dir = await mkdtemp(join(tmpdir(), 'carillon-sentinel-'))
  const port = await freePort()
  const file = join(dir, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} ${QUORUM}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} 5000`,
  ]
  const { args, knownAt } = await sentinelArgs(port)
  await writeFile(file, `${lines.join('\n')}\n`)
  const child = startChild(redisServer, [file, '--sentinel', ...args], { stdio: 'ignore' })
  const credentials = sentinelPassword === undefined ? {} : { password: sentinelPassword }
  const client = new Redis({
    ...credentials,
    port,
    protocol: 2,
    retryStrategy: () => 20,
    maxRetriesPerRequest: null,
  })
  client.on('error', () => undefined)
  whenTestEnds(() => client.disconnect())
  await until('a sentinel answers', async () => (await client.ping()) === 'PONG')
  return {
    port,
    knownAt,
    client,
    async stop() {
      client.disconnect()
      await endChild(child)
      await rm(dir, { recursive: true, force: true })
    },
  }
}
