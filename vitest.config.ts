import { configDefaults, defineConfig } from 'vitest/config'
import { engineAnswers } from './test/support/engine.ts'
import { missingProxies } from './test/support/programs.ts'
import { startRun } from './test/support/run.js'

startRun()

/** The image can be tried only where a container engine runs; elsewhere its test is no part of the suite. */
const withImage = await engineAnswers()
/** Likewise what is tried behind proxies that this machine has not. */
const withoutProxies = missingProxies().map((name) => `test/e2e/proxy/${name}.test.ts`)
const exclude = [...configDefaults.exclude, ...(withImage ? [] : ['test/e2e/image/**']), ...withoutProxies]

/** What a test is given for an address or a program that its folder does not have: nothing works with it. */
const none = (folder: string, what: string) => `none: tests of test/${folder} have no ${what}`

/** A project for each folder: what Redis a test meets follows from where it is. */
const project = (folder: string) => ({ name: folder, include: [`test/${folder}/**/*.test.ts`], exclude })

const withoutRedis = (folder: string) => ({
  extends: true as const,
  test: {
    ...project(folder),
    provide: { redisUrl: none(folder, 'Redis'), redisServer: none(folder, 'Redis') },
  },
})

const ownRedis = (folder: string) => ({
  extends: true as const,
  test: {
    ...project(folder),
    provide: { redisUrl: none(folder, 'shared Redis') },
    globalSetup: ['test/support/server-setup.ts'],
  },
})

const sharedRedis = (folder: string, ...more: string[]) => ({
  extends: true as const,
  test: {
    ...project(folder),
    globalSetup: ['test/support/server-setup.ts', 'test/support/shared-setup.ts', ...more],
  },
})

/** Runs when all other projects have, a file at a time: what measures is not to be measured beside anything. */
const alone = (each: ReturnType<typeof ownRedis>) => ({
  ...each,
  test: { ...each.test, maxWorkers: 1, sequence: { groupOrder: 1 } },
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
      withoutRedis('unit'),
      sharedRedis('integration'),
      ownRedis('faults'),
      sharedRedis('e2e', 'test/support/left-out-setup.ts'),
      alone(ownRedis('figures')),
    ],
  },
})
