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
import { missingProxies } from './test/support/programs.ts'
import { startRun } from './test/support/run.js'

startRun()

/** The image can be tried only where a container engine runs; elsewhere its test is no part of the suite. */
const withImage = await engineAnswers()
/** Likewise what is tried behind proxies that this machine has not. */
const withoutProxies = missingProxies().map((name) => `test/proxy/${name}.test.ts`)
const exclude = [...configDefaults.exclude, ...(withImage ? [] : ['test/image/**']), ...withoutProxies]

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

/** Runs when all other parts have, a file at a time: what measures is not to be measured beside anything. */
const alone = (project: ReturnType<typeof ofOwnRedis>) => ({
  ...project,
  test: { ...project.test, maxWorkers: 1, sequence: { groupOrder: 1 } },
})

export default defineConfig({
  test: {
    setupFiles: ['test/support/leaves-nothing.ts'],
    // Only what hangs is to run out of time, on whatever machine.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000, interval: 10 } },
    // Most tests wait, for what falls due or for a process that starts.
    maxWorkers: 3,
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
      alone(ofOwnRedis('figures', FIGURES)),
      ofSharedRedis('processes', PROCESSES, []),
      ofSharedRedis(
        'shared-redis',
        ['test/**/*.test.ts'],
        [...WITHOUT_REDIS, ...OWN_REDIS, ...FIGURES, ...PROCESSES],
      ),
    ],
  },
})
