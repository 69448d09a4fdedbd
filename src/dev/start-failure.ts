import { readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Free space that redis-server needs: it writes its log to the same disk, and without room it exits silently. */
const PROBE_BYTES = 65_536

/** @throws {Error} of one line, where nothing can be written */
export async function checkRoom(dataDir: string): Promise<void> {
  const path = join(dataDir, 'probe')
  try {
    await writeFile(path, Buffer.alloc(PROBE_BYTES), { mode: 0o600, flush: true })
  } catch (error) {
    throw new Error(`${dataDir} cannot be written: ${reasonOf(error)}`, { cause: error })
  } finally {
    await rm(path, { force: true })
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC') return 'the disk is full; free some space and restart'
  if (code === 'EDQUOT') return 'the disk quota is exceeded; free some space and restart'
  if (code === 'EROFS') return 'the disk is mounted read-only; mount it read-write'
  if (code === 'EACCES' || code === 'EPERM')
    return `permission denied (${message}); make the user that runs Carillon its owner`
  return message
}

/** What redis-server says of files that it cannot read, and what to do then. */
const DAMAGES: readonly [words: RegExp, advice: string][] = [
  [
    /Can't handle RDB format version/,
    'its base file was written by a newer Redis: put that version or a newer one on PATH',
  ],
  [
    /Error reading the RDB|Wrong signature|RDB CRC error|reading (?:the RDB|.*\.base\.)/i,
    'its base file (appendonlydir/*.base.rdb) is damaged: restore a backup of the folder, or move it away ' +
      'to start empty',
  ],
  [/No space left on device/, 'the disk is full: free some space and restart'],
  [/Permission denied/, 'make the user that runs Carillon the owner of its files'],
]

/**
 * Why a redis-server ended at its start, in one line.
 *
 * @param ended its exit code or signal
 * @param logFrom where its lines in the log begin
 */
export async function whyEnded(
  { dataDir, logPath }: { readonly dataDir: string; readonly logPath: string },
  ended: string,
  logFrom: number,
): Promise<string> {
  const said = (await readFile(logPath)).subarray(logFrom).toString()
  const advice = DAMAGES.find(([pattern]) => pattern.test(said))?.[1]
  const { bavail, bsize } = await statfs(dataDir)
  const full = bavail * bsize < PROBE_BYTES ? 'the disk is full: free some space and restart' : undefined
  const what = full ?? advice
  return (
    'redis-server exited during startup ' +
    `(${ended})${what === undefined ? '' : `; in ${dataDir}, ${what}`}: ${lastLogLines(said)} (${logPath})`
  )
}

/** What redis-server says at every start, and no reason for its end. */
const OF_THE_MACHINE = /overcommit|Transparent Huge Pages|TCP backlog/i
/** A program that need not be there, and cuts off more than it has to. */
const TOOL_ADVICE = /: make a backup of your AOF file.*/

/** The last warnings of redis-server, or its last lines where it had none, without its time stamps. */
function lastLogLines(said: string): string {
  const lines = said.split('\n').filter((line) => line.trim() !== '')
  const warnings = lines.filter((line) => / # /.test(line) && !OF_THE_MACHINE.test(line))
  const words = (warnings.length > 0 ? warnings : lines).slice(-2)
  return words
    .map((line) =>
      line
        .replace(/^\d+:\w .*? [#*.-] /, '')
        .replace(TOOL_ADVICE, '')
        .trim(),
    )
    .join('; ')
}
