import { Redis } from 'ioredis'

/**
 * Uses one short-lived connection to a Redis on a socket.
 *
 * @param withinMs for connecting and for each command
 * @throws Error the reason the connection failed, where it did
 */
export async function withControlConnection<T>(
  socketPath: string,
  withinMs: number,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis({
    path: socketPath,
    protocol: 2,
    connectionName: 'embedded-control',
    lazyConnect: true,
    retryStrategy: () => null,
    enableReadyCheck: false, // a server that is still loading shall say so
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    connectTimeout: withinMs,
    commandTimeout: withinMs,
  })
  let reason: Error | undefined
  redis.on('error', (error: Error) => {
    reason ??= error
  })
  try {
    await redis.connect()
    return await use(redis)
  } catch (error) {
    throw reason ?? error
  } finally {
    redis.disconnect()
  }
}
