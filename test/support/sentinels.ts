import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort, startRedis } from './redis.ts'
import { until } from './until.ts'

const SENTINELS = 3
const MASTER = 'carillon-test'

/** A master with a replica and the sentinels that name it, each a child process. */
export async function startSentinels({ redisServer }: { redisServer: string }) {
  const master = await startRedis({ redisServer })
  const replica = await startRedis({ redisServer, args: ['--replicaof', '127.0.0.1', String(master.port)] })
  const sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, () => startSentinel(redisServer, master.port)),
  )
  await until('the sentinels know the replica and each other', async () => {
    const known = await Promise.all(sentinels.map((sentinel) => sentinel.knows()))
    return known.every(({ replicas, others }) => replicas === 1 && others === SENTINELS - 1)
  })
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`,
    async stop() {
      await Promise.all([...sentinels, replica].map((each) => each.stop()))
      await master.stop()
    },
  }
}

async function startSentinel(redisServer: string, masterPort: number) {
  const dir = await mkdtemp(join(tmpdir(), 'carillon-test-'))
  const port = await freePort()
  const settings = join(dir, 'sentinel.conf')
  const lines = [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`],
    `sentinel monitor ${MASTER} 127.0.0.1 ${masterPort} 2`,
    // What a busy machine holds up for a while must not count as a master that died.
    `sentinel down-after-milliseconds ${MASTER} 30000`,
  ]
  await writeFile(settings, lines.join('\n'))
  const child = spawn(redisServer, [settings, '--sentinel'], { stdio: 'ignore' })
  const client = new Redis({ port, protocol: 2, retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  return {
    port,
    /** how many replicas and how many other sentinels it has found */
    async knows() {
      const reply = (await client.call('SENTINEL', 'MASTER', MASTER)) as string[]
      const of = (field: string) => Number(reply[reply.indexOf(field) + 1])
      return { replicas: of('num-slaves'), others: of('num-other-sentinels') }
    },
    async stop() {
      client.disconnect()
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      await rm(dir, { recursive: true, force: true })
    },
  }
}
