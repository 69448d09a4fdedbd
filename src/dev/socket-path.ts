import { createHash } from 'node:crypto'
import { lstat, mkdir, symlink } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

const LONGEST_SOCKET_PATH = 103 // macOS; Linux allows 107

/**
 * The path of `redis.sock` in the data directory, short enough for the operating system. If the path is too long, a
 * private folder of this user in the temporary folder holds a link to the data directory. The socket itself is never
 * there, so services with different temporary folders share one Redis.
 */
export async function socketPathFor(dataDir: string): Promise<string> {
  const direct = join(dataDir, 'redis.sock')
  if (Buffer.byteLength(direct) <= LONGEST_SOCKET_PATH) return direct

  const { uid } = userInfo()
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  const name = `carillon-${uid}-${hash}`
  const temporary = Buffer.byteLength(join(tmpdir(), name, 'data', 'redis.sock')) <= LONGEST_SOCKET_PATH
  const folder = join(temporary ? tmpdir() : '/tmp', name)
  await mkdir(folder, { mode: 0o700 }).catch(ignoreExisting)
  const entry = await lstat(folder)
  // Anybody may write to the temporary folder; one who made ours before us would be handed our messages.
  if (!entry.isDirectory() || entry.uid !== uid || (entry.mode & 0o077) !== 0) {
    throw new Error(`${folder} is not a private folder of this user: remove it, or use a shorter data path`)
  }
  await symlink(dataDir, join(folder, 'data')).catch(ignoreExisting)
  return join(folder, 'data', 'redis.sock')
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
}
