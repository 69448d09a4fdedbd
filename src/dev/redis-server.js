// Finds a redis-server to run, or fetches one for this checkout without touching the system.
// Plain JavaScript without dependencies, like its neighbours.

import { execFile } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { fetchWithApt, lastLine } from './apt-fetch.js'
import { withLock } from './lock.js'
import { oldestVersions, SERVERS, versionOf } from './redis-version.js'

const run = promisify(execFile)

/** Package managers for where there is no apt. They install for the whole system, so most need root. */
const INSTALLERS = [
  { platform: 'darwin', needsRoot: false, command: ['brew', 'install', 'redis'] },
  { platform: 'linux', needsRoot: true, command: ['apk', 'add', 'redis'] },
  { platform: 'linux', needsRoot: true, command: ['dnf', 'install', '-y', 'redis'] },
  { platform: 'linux', needsRoot: true, command: ['dnf', 'install', '-y', 'valkey'] },
]

const WHAT_TO_DO =
  'install Redis 7 or newer (apt install redis-server, dnf install redis, brew install redis) or set REDIS_URL'

/** @typedef {(line: string) => void} Log */

/**
 * A working redis-server or valkey-server of a supported version: the one on PATH, else the one fetched for this
 * checkout before, else one fetched now (said through `log`).
 *
 * @param {{ cacheDir: string, log: Log }} options `cacheDir` holds what is fetched, in `redis/`
 * @returns {Promise<string>} its absolute path
 * @throws {Error} of one line that says what to install, where there is none and none can be fetched
 */
export async function findRedisServer({ cacheDir, log }) {
  const home = join(resolve(cacheDir), 'redis')
  const found = (await onPath(log)) ?? (await fetchedBefore(home))
  if (found) return found

  await mkdir(home, { recursive: true })
  return withLock(
    home,
    async () => {
      const meanwhile = await fetchedBefore(home)
      if (meanwhile) return meanwhile
      /** @type {string[]} */
      const problems = []
      const server =
        which('apt-get') && which('dpkg-deb')
          ? await fetchWithApt(home, log, problems)
          : await installForTheSystem(log, problems)
      if (server) return server
      throw new Error([`no redis-server found: ${WHAT_TO_DO}`, ...problems].join('; '))
    },
    { onWait: () => log('waiting for another process that fetches redis-server...') },
  )
}

/** @type {(log: Log) => Promise<string | undefined>} */
async function onPath(log) {
  for (const { name } of SERVERS) {
    const path = which(`${name}-server`)
    if (!path) continue
    const found = await versionOf(path)
    if (found?.supported) return path
    log(
      found
        ? `skipping ${path}: ${found.label} ${found.version} is too old (${oldestVersions()})`
        : `skipping ${path}: its version is unknown`,
    )
  }
  return undefined
}

/** @type {(home: string) => Promise<string | undefined>} */
async function fetchedBefore(home) {
  for (const { name } of SERVERS) {
    const path = join(home, name, `${name}-server`)
    // Run it to check it: the system libraries that it needs may be gone.
    if ((await versionOf(path))?.supported) return path
  }
  return undefined
}

/** @type {(command: string) => string | undefined} */
function which(command) {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = resolve(directory, command)
    try {
      accessSync(path, constants.X_OK)
      if (directory !== '' && statSync(path).isFile()) return path
    } catch {
      // not in this one
    }
  }
  return undefined
}

/** @type {(log: Log, failures: string[]) => Promise<string | undefined>} */
async function installForTheSystem(log, failures) {
  for (const { platform, needsRoot, command } of INSTALLERS) {
    const [manager = '', ...args] = command
    if (platform !== process.platform || !which(manager)) continue
    if (needsRoot && process.getuid?.() !== 0) continue
    log(`installing redis-server (${command.join(' ')})...`)
    try {
      await run(manager, args, { maxBuffer: 64 << 20 })
    } catch (error) {
      failures.push(`${command.join(' ')} failed: ${lastLine(error)}`)
      continue
    }
    const server = await onPath(log)
    if (server) return server
    failures.push(`${command.join(' ')} did not put a supported redis-server on PATH`)
  }
  return undefined
}
