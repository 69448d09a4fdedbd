// Which redis-server is recent enough. Plain JavaScript without dependencies, like its neighbours.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The oldest releases Carillon runs on, in the order they are looked for. */
export const SERVERS = [
  { name: 'redis', label: 'Redis', major: 7, minor: 0 },
  { name: 'valkey', label: 'Valkey', major: 7, minor: 2 },
]

/**
 * Reads what `redis-server --version` prints. Valkey 7.2 says `Server v=7.2.5` without its name.
 *
 * @param {string} text
 * @returns {{ label: string, version: string, supported: boolean } | undefined} undefined where it is neither
 */
export function readVersion(text) {
  const [, brand, version, major, minor] = /^(\w+ )?server v=((\d+)\.(\d+)[\w.-]*)/i.exec(text.trim()) ?? []
  if (version === undefined) return undefined
  const label = brand === 'Redis ' ? 'Redis' : 'Valkey'
  return { label, version, supported: isSupported(label, Number(major), Number(minor)) }
}

/** @type {(label: string, major: number, minor: number) => boolean} */
export function isSupported(label, major, minor) {
  const oldest = SERVERS.find((server) => server.label === label)
  return oldest !== undefined && (major > oldest.major || (major === oldest.major && minor >= oldest.minor))
}

/** @type {(path: string) => Promise<ReturnType<typeof readVersion>>} undefined where it does not run */
export async function versionOf(path) {
  const answer = await run(path, ['--version'], { timeout: 10_000 }).catch(() => undefined)
  return answer && readVersion(answer.stdout)
}

/** @type {() => string} */
export function oldestVersions() {
  return `supported: ${SERVERS.map(({ label, major, minor }) => `${label} ${major}.${minor}`).join(' and ')} or newer`
}
