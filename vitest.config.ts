import { configDefaults, defineConfig } from 'vitest/config'
import { engineAnswers } from './test/support/engine.ts'

/** The image can be tried only where a container engine runs; elsewhere its test is no part of the suite. */
const withImage = await engineAnswers()
if (!withImage) console.log('no container engine answers: test/image is not part of this run')

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(withImage ? [] : ['test/image/**'])],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests start servers and Redis processes of their own: more at once than cores would only time each other out.
    maxWorkers: 2,
  },
})
