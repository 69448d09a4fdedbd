// Fetches a redis-server with apt for this checkout, without root and without touching the system.
// Plain JavaScript without dependencies, like its neighbours.

import { execFile } from 'node:child_process'
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { isSupported, SERVERS, versionOf } from './redis-version.js'

const run = promisify(execFile)

/**
 * Downloads the packages of the configured sources and unpacks them below `home`: no root, no system package lists,
 * nothing installed, no service started. Only a complete, tried one is renamed into place.
 *
 * @type {(home: string, log: (line: string) => void, failures: string[]) => Promise<string | undefined>}
 */
export async function fetchWithApt(home, log, failures) {
  log('fetching redis-server for this checkout (apt-get download)...')
  // This process holds the lock, so these were left by an interrupted fetch.
  for (const entry of await readdir(home)) {
    if (entry.startsWith('fetch-')) await rm(join(home, entry), { recursive: true, force: true })
  }
  const work = join(home, `fetch-${process.pid}`)
  try {
    const apt = await privateApt(work)
    for (const { name, label } of SERVERS) {
      const offered = await apt.offeredVersion(`${name}-server`)
      const [, major, minor] = /^(?:\d+:)?(\d+)\.(\d+)/.exec(offered ?? '') ?? []
      if (offered === undefined || !isSupported(label, Number(major), Number(minor))) {
        failures.push(offered ? `apt offers ${label} ${offered} only` : `apt has no ${name}-server`)
        continue
      }
      const root = join(work, name)
      await unpack(apt, root, name)
      const problem = await makeRunnable(root, name)
      if (problem) {
        failures.push(problem)
        continue
      }
      const place = join(home, name)
      await rm(place, { recursive: true, force: true })
      await rename(root, place)
      return join(place, `${name}-server`)
    }
    if (apt.updateFailure) failures.push(`apt-get update: ${apt.updateFailure}`)
  } catch (error) {
    failures.push(`apt failed: ${lastLine(error)}`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return undefined
}

/**
 * apt with lists and caches of its own below `work`, but the system's sources, keys and proxies.
 *
 * @param {string} work
 */
async function privateApt(work) {
  await mkdir(join(work, 'lists', 'partial'), { recursive: true })
  await mkdir(join(work, 'cache', 'archives', 'partial'), { recursive: true })
  // Hooks of the system's apt would refresh the system's caches; only a -c file, read last, can take them out.
  const settings = join(work, 'apt.conf')
  await writeFile(
    settings,
    [
      '#clear APT::Update::Pre-Invoke;',
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      'Acquire::Languages "none";',
      'Acquire::Retries "2";',
      'Acquire::http::Timeout "20";',
      'Acquire::https::Timeout "20";',
      '',
    ].join('\n'),
  )
  const options = [
    ...['-c', settings, '-q'],
    ...['-o', `Dir::State::Lists=${join(work, 'lists')}`],
    ...['-o', `Dir::Cache=${join(work, 'cache')}`],
  ]
  /** @type {(tool: string, args: string[], cwd?: string) => Promise<string>} */
  const apt = async (tool, args, cwd = work) =>
    (
      await run(tool, [...options, ...args], {
        cwd,
        env: { ...process.env, LC_ALL: 'C' },
        maxBuffer: 64 << 20,
      })
    ).stdout

  // One broken source among many does not matter: the download shows whether the others work.
  /** @type {string | undefined} */
  let updateFailure
  await apt('apt-get', ['update']).catch((error) => {
    updateFailure = lastLine(error)
  })

  return {
    updateFailure,
    /** @type {(name: string) => Promise<string | undefined>} */
    offeredVersion: async (name) => {
      const about = await apt('apt-cache', ['show', '--no-all-versions', name]).catch(() => '')
      return /^Version: (.+)$/m.exec(about)?.[1]
    },
    /** @type {(names: string[], into: string) => Promise<string[]>} the .deb files */
    download: async (names, into) => {
      await mkdir(into, { recursive: true })
      if (names.length > 0) await apt('apt-get', ['download', ...names], into)
      return (await readdir(into)).filter((file) => file.endsWith('.deb')).map((file) => join(into, file))
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof privateApt>>} Apt */

/**
 * The server package and the tools package that holds its binary, then, as long as the binary misses shared
 * libraries, the libraries its packages depend on.
 *
 * @type {(apt: Apt, root: string, name: string) => Promise<void>}
 */
async function unpack(apt, root, name) {
  const binary = join(root, 'usr', 'bin', `${name}-server`)
  let wanted = [`${name}-server`, `${name}-tools`]
  const fetched = new Set(wanted)
  for (let depth = 0; wanted.length > 0 && depth < 4; depth += 1) {
    const archives = await apt.download(wanted, `${root}-debs-${depth}`)
    for (const archive of archives) await run('dpkg-deb', ['-x', archive, root])
    if ((await missingLibraries(binary, root)).length === 0) return
    wanted = (await libraryDependencies(archives)).filter((library) => !fetched.has(library))
    for (const library of wanted) fetched.add(library)
  }
}

/** @type {(archives: string[]) => Promise<string[]>} the packages of libraries that are not installed */
async function libraryDependencies(archives) {
  const names = new Set()
  for (const archive of archives) {
    const { stdout } = await run('dpkg-deb', ['-f', archive, 'Depends'])
    for (const [name] of stdout.matchAll(/(?<=^|, )lib[^\s,:]+/g)) names.add(name)
  }
  const isInstalled = async (/** @type {string} */ name) => {
    const known = await run('dpkg-query', ['-s', name]).catch(() => undefined)
    return known !== undefined && /^Status: .* installed$/m.test(known.stdout)
  }
  const wanted = []
  for (const name of names) if (!(await isInstalled(name))) wanted.push(name)
  return wanted
}

/** @type {(root: string) => Promise<string[]>} the folders libraries were unpacked into */
async function libraryFolders(root) {
  const files = await readdir(root, { recursive: true })
  return [...new Set(files.filter((file) => /\.so\.\d/.test(file)).map((file) => join(root, file, '..')))]
}

/** @type {(binary: string, root: string) => Promise<string[]>} */
async function missingLibraries(binary, root) {
  const env = { ...process.env, LD_LIBRARY_PATH: (await libraryFolders(root)).join(':') }
  const { stdout } = await run('ldd', [binary], { env })
  return [...stdout.matchAll(/(\S+) => not found/g)].map(([, library = '']) => library)
}

/**
 * Puts a script beside the unpacked files that finds them from its own place, as the checkout may be moved.
 *
 * @type {(root: string, name: string) => Promise<string | undefined>} what is wrong with it, if anything
 */
async function makeRunnable(root, name) {
  const folders = (await libraryFolders(root)).map((folder) => `$here/${relative(root, folder)}`)
  const script = join(root, `${name}-server`)
  const lines = [
    '#!/bin/sh',
    'here=$(dirname -- "$(readlink -f -- "$0")")',
    // An empty entry would mean the current folder.
    `LD_LIBRARY_PATH="${folders.join(':')}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`,
    'export LD_LIBRARY_PATH',
    `exec "$here/usr/bin/${name}-server" "$@"`,
    '',
  ]
  await writeFile(script, lines.join('\n'))
  await chmod(script, 0o755)
  if (await versionOf(script)) return undefined
  const missing = await missingLibraries(join(root, 'usr', 'bin', `${name}-server`), root)
  return `the fetched ${name}-server does not run${missing.length > 0 ? `, it misses ${missing.join(', ')}` : ''}`
}

/** @type {(error: unknown) => string} the last line a failed command wrote, its errors before its warnings */
export function lastLine(error) {
  const { stderr = '', message = String(error) } = /** @type {{ stderr?: string, message?: string }} */ (
    error
  )
  const lines = (stderr.trim() || message).split('\n')
  return (lines.findLast((line) => line.startsWith('E: ')) ?? lines.at(-1) ?? '').replace(/^E: /, '')
}
