import { defineConfig } from 'vitest/config'
import { startRun } from '../../support/run.js'

const folder = startRun()

/** For the run that leaves-nothing.test.ts kills. */
export default defineConfig({
  test: {
    include: ['test/faults/suite/victim.ts'],
    setupFiles: ['test/support/leaves-nothing.ts'],
    globalSetup: ['test/support/server-setup.ts', 'test/support/shared-setup.ts'],
    provide: { runFolder: folder },
  },
})

declare module 'vitest' {
  export interface ProvidedContext {
    /** the folder of the run */
    runFolder: string
  }
}
