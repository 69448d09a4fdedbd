import { readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** So much must be free on the disk, or redis-server, which writes its log there too, ends without a word. */
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
  if (code === 'ENOSPC') return 'the disk is full; make room and start again'
  if (code === 'EDQUOT') return "this user's share of the disk is used up; make room and start again"
  if (code === 'EROFS') return 'the disk is mounted read-only; mount it to be written'
  if (code === 'EACCES' || code === 'EPERM')
    return `this user may not (${message}); give it to the user that runs Carillon`
  return message
}

/** What redis-server says of files that it cannot read, and what to do then. */
const DAMAGES: readonly [words: RegExp, advice: string][] = [
  [
    /Can't handle RDB format version/,
    'its base was written by a newer Redis: have that one on PATH, or a later one',
  ],
  [
    /Error reading the RDB|Wrong signature|RDB CRC error|reading (?:the RDB|.*\.base\.)/i,
    'its base (appendonlydir/*.base.rdb) is damaged: put back a copy of the folder, or move it away to begin with nothing',
  ],
  [/No space left on device/, 'the disk is full: make room and start again'],
  [/Permission denied/, 'give it to the user that runs Carillon'],
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
  const full = bavail * bsize < PROBE_BYTES ? 'the disk is full: make room and start again' : undefined
  const what = full ?? advice
  return `redis-server ended at its start (${ended})${what === undefined ? '' : `, for in ${dataDir} ${what}`}: ${lastLogLines(said)} (${logPath})`
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
