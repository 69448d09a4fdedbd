import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Compiles a service that only starts its Redis, since processes of their own need JavaScript.
 *
 * @param root of the checkout
 * @param cache a folder in it, where what is compiled finds node_modules
 * @returns a new folder in the cache, with service.js
 */
export function compileService(root: string, cache: string): string {
  mkdirSync(cache, { recursive: true })
  const compiled = mkdtempSync(join(cache, 'embedded-test-'))
  const settings = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: join(root, 'src'), outDir: compiled, noCheck: true },
    include: [],
    files: [join(root, 'src', 'dev', 'embedded-redis.ts')],
  }
  writeFileSync(join(compiled, 'tsconfig.json'), JSON.stringify(settings))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '-p', compiled], { stdio: 'inherit' })
  writeFileSync(
    join(compiled, 'service.js'),
    `import { startEmbeddedRedis } from './dev/embedded-redis.js'
     const [dataDir, cacheDir] = process.argv.slice(2)
     const { socketPath } = await startEmbeddedRedis({ dataDir, cacheDir, log: console.error })
     setInterval(() => {}, 1000)
     process.stdout.write(socketPath)`,
  )
  return compiled
}
