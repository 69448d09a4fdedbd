import { createRequire } from 'node:module'

// By require, which opens files one after another. import opens all modules at once, which ended a process with few
// descriptors (seen with Node 20 at `ulimit -n 128`).
const load = createRequire(import.meta.url)
const { runServiceProcess } = load(
  './supervisor/service-process.js',
) as typeof import('./supervisor/service-process.ts')

await runServiceProcess()
