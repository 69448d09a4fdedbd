import type { Cluster, Redis } from 'ioredis'

/** @returns Redis's clock, epoch ms */
export async function readRedisClock(client: Redis | Cluster): Promise<number> {
  const [seconds = 0, microseconds = 0] = (await client.time()).map(Number)
  return seconds * 1_000 + Math.floor(microseconds / 1_000)
}
