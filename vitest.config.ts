import { configDefaults, defineConfig } from 'vitest/config'
import { engineAnswers } from './test/support/engine.ts'
import {
  FIGURES,
  NO_REDIS_SERVER,
  NO_SHARED_REDIS,
  OWN_REDIS,
  PROCESSES,
  WITHOUT_REDIS,
} from './test/support/parts.ts'

/** The image can be tried only where a container engine runs; elsewhere its test is no part of the suite. */
const withImage = await engineAnswers()
const exclude = [...configDefaults.exclude, ...(withImage ? [] : ['test/image/**'])]

const ofOwnRedis = (name: string, include: string[]) => ({
  extends: true as const,
  test: {
    ...{ name, include, exclude },
    provide: { redisUrl: NO_SHARED_REDIS },
    globalSetup: ['test/support/server-setup.ts'],
  },
})

const ofSharedRedis = (name: string, include: string[], others: string[]) => ({
  extends: true as const,
  test: {
    ...{ name, include, exclude: [...exclude, ...others] },
    globalSetup: ['test/support/server-setup.ts', 'test/support/shared-setup.ts'],
  },
})

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests start servers and Redis processes of their own: more at once than cores would only time each other out.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          ...{ name: 'without-redis', include: WITHOUT_REDIS, exclude },
          provide: { redisUrl: NO_SHARED_REDIS, redisServer: NO_REDIS_SERVER },
          globalSetup: ['test/support/image-setup.ts'],
        },
      },
      ofOwnRedis('own-redis', OWN_REDIS),
      ofOwnRedis('figures', FIGURES),
      ofSharedRedis('processes', PROCESSES, []),
      ofSharedRedis(
        'shared-redis',
        ['test/**/*.test.ts'],
        [...WITHOUT_REDIS, ...OWN_REDIS, ...FIGURES, ...PROCESSES],
      ),
    ],
  },
})
