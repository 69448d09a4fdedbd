import { createRequire } from 'node:module'

// By require, which opens one file after another: import opens those of all modules at once, and so ended a process that
// may have few descriptors (seen with Node 20 at `ulimit -n 128`).
const load = createRequire(import.meta.url)
const { runServiceProcess } = load(
  './supervisor/service-process.js',
) as typeof import('./supervisor/service-process.ts')

await runServiceProcess()
