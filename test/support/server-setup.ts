import type { TestProject } from 'vitest/node'
import { findServerOf, readRedisKind } from './redis-kind.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** the redis-server for tests that kill it */
    redisServer: string
  }
}

/** For tests that start a Redis of their own. */
export async function setup(project: TestProject): Promise<void> {
  project.provide('redisServer', await findServerOf(readRedisKind(process.env.CARILLON_TEST_REDIS)))
}
