import { pino } from 'pino'
import { inject, onTestFinished } from 'vitest'
import { readConfig, redisTargetOf } from '../../src/server/config.ts'
import { startServer } from '../../src/server/server.ts'
import { connect, type RedisConnection } from '../../src/store/connect.ts'
import { consoleTaking } from './claiming.ts'
import { freshNamespace } from './namespace.ts'
import { clearNamespace } from './redis.ts'

/** A whole server within the test's process. */
export interface ServerHere {
  readonly url: string
  readonly namespace: string
  readonly client: RedisConnection['client']
  /** ids that its console was given */
  readonly delivered: readonly string[]
  post(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }>
  stop(graceMs?: number): Promise<void>
}

/** Starts a server that ends with the test. @param env its settings; REDIS_URL is the shared Redis unless given */
export async function serveHere(env: Readonly<Record<string, string>> = {}): Promise<ServerHere> {
  const namespace = env.NAMESPACE ?? freshNamespace()
  const redisUrl = env.REDIS_URL ?? inject('redisUrl')
  const config = readConfig({ PORT: '0', ...env, REDIS_URL: redisUrl, NAMESPACE: namespace })
  const target = redisTargetOf(config)
  const connection = connect(target)
  await connection.waitUntilReady(60_000)
  const delivered: string[] = []
  const server = await startServer({
    ...{ config, target, console: consoleTaking(delivered), logger: pino({ level: 'silent' }) },
    onUnsupported: () => undefined,
  })
  let stopped: Promise<void> | undefined
  const stop = (graceMs = 1_000) => {
    stopped ??= server.stop({ graceMs })
    return stopped
  }
  onTestFinished(async () => {
    await stop()
    if (connection.isReady()) await clearNamespace(connection.client, namespace)
    await connection.close()
  })
  return {
    ...{ url: server.url, namespace, client: connection.client, delivered, stop },
    async post(path, body) {
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    },
  }
}
