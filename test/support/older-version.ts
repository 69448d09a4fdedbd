import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { withLock } from '../../src/dev/lock.js'
import { startChild } from './children.ts'

/** The files that an older server is built from. */
const SOURCES = ['package.json', 'package-lock.json', 'tsconfig.json', 'src', 'lua']

/**
 * Builds an older commit of this project in `.cache/versions`, once per checkout.
 *
 * @returns the folder, in which `node dist/main.js` starts a server of that commit
 * @throws Error when the history of this checkout does not have the commit, or it cannot be built
 */
export async function olderVersion(commit: string): Promise<string> {
  requireCommit(commit)
  const folder = resolve('.cache/versions', commit.slice(0, 12))
  await withLock(folder, async () => {
    if (existsSync(folder)) return
    const unfinished = `${folder}.unfinished`
    rmSync(unfinished, { recursive: true, force: true })
    mkdirSync(unfinished, { recursive: true })
    const tar = join(unfinished, 'sources.tar')
    await run('.', 'git', ['archive', '--output', tar, commit, ...SOURCES])
    await run(unfinished, 'tar', ['-xf', tar])
    // Only what its servers need. The compiler of this checkout translates it, without type checks.
    await run(unfinished, 'npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'])
    await run(unfinished, resolve('node_modules/.bin/tsc'), ['--noCheck'])
    renameSync(unfinished, folder)
  })
  return folder
}

function requireCommit(commit: string): void {
  try {
    execFileSync('git', ['cat-file', '-e', `${commit}^{commit}`], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    throw new Error(
      `upgrades are tested from commit ${commit}, which this checkout's history does not have; ` +
        'a shallow clone gets it by `git fetch --unshallow`',
      { cause: error },
    )
  }
}

async function run(cwd: string, program: string, args: string[]): Promise<void> {
  const child = startChild(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} in ${cwd} ended with ${code}: ${said}`)
}
