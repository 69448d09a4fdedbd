import { constants } from 'node:fs'
import { access, copyFile, open, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { findWholeCommand, scanCommands } from './resp-scan.ts'

/** The append-only file of Redis 7 and later: a folder with a base, increments, and a manifest that names both. */
const FOLDER = 'appendonlydir'
const MANIFEST = 'appendonly.aof.manifest'
const DATA_FILE = /^appendonly\.aof\.(\d+)\.(base|incr)\.(?:rdb|aof)$/
const ENTRY = /^file "?(\S+?)"? seq (\d+) type ([bih])(?: .*)?$/

/** What a power cut leaves at the end was on its way, and so never more than Redis writes at once. */
const LONGEST_TAIL_BYTES = 16_777_216

interface DataFiles {
  readonly base: string | undefined
  /** in the order in which Redis reads them */
  readonly increments: readonly string[]
}

const pathOf = (dataDir: string, name: string): string => join(dataDir, FOLDER, name)

/**
 * Checks that a Redis started on these files would find all data. Without its manifest, Redis would start empty and
 * write over the data.
 *
 * @throws {Error} of one line: which file is wrong, and what to do
 */
export async function checkDataFiles(dataDir: string): Promise<void> {
  const present = await readdir(join(dataDir, FOLDER)).catch(emptyUnless('ENOENT'))
  const dataFiles = present.filter((name) => DATA_FILE.test(name)).sort(bySequence)
  const manifestPath = pathOf(dataDir, MANIFEST)
  if (!present.includes(MANIFEST)) {
    if (dataFiles.length > 0) throw new Error(withoutManifest(`${manifestPath} is missing`, dataFiles))
    await refuseSnapshotAlone(dataDir)
    return
  }
  const { base, increments } = await readManifest(manifestPath, dataFiles)
  for (const name of [...(base === undefined ? [] : [base]), ...increments]) {
    const path = pathOf(dataDir, name)
    if (!present.includes(name)) {
      throw new Error(`${path} is missing, but the manifest names it: restore it from a backup of ${dataDir}`)
    }
    await access(path, constants.R_OK | constants.W_OK).catch((error: Error) => {
      throw new Error(
        `${path} cannot be read and written (${error.message}): make the user that runs Carillon its owner`,
      )
    })
  }
}

async function refuseSnapshotAlone(dataDir: string): Promise<void> {
  const path = join(dataDir, 'dump.rdb')
  const { size } = await stat(path).catch(() => ({ size: 0 }))
  if (size === 0) return
  throw new Error(
    `${path} exists, but no append-only file, and Redis would read only that: move it away to start ` +
      'empty, or let Redis convert it (CONFIG SET appendonly yes)',
  )
}

async function readManifest(path: string, dataFiles: readonly string[]): Promise<DataFiles> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Error(`${path} cannot be read (${error.message}): make the user that runs Carillon its owner`)
  })
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const entries = lines.map((line) => ENTRY.exec(line.trimEnd()))
  if (entries.length === 0 || entries.some((entry) => entry === null)) {
    throw new Error(withoutManifest(`${path} is damaged`, dataFiles))
  }
  const ofType = (type: string) => entries.flatMap((entry) => (entry?.[3] === type ? [entry[1] ?? ''] : []))
  return { base: ofType('b')[0], increments: ofType('i') }
}

/** What to do without it: the newest base and what came after it are nearly always what it named. */
function withoutManifest(what: string, dataFiles: readonly string[]): string {
  const base = dataFiles.findLast((name) => name.includes('.base.'))
  const named = dataFiles.filter((name) => name === base || name.includes('.incr.'))
  const lines = named.map((name) => {
    const [, sequence, kind] = DATA_FILE.exec(name) ?? []
    return `file ${name} seq ${sequence} type ${kind === 'base' ? 'b' : 'i'}`
  })
  const restore = 'restore it from a backup'
  if (lines.length === 0) return `${what}: ${restore}, or remove it to start empty`
  return (
    `${what}, but there are data files: ${restore}, or write it again with these lines, which follow ` +
    `from the files: ${lines.join(', ')}`
  )
}

const bySequence = (a: string, b: string): number => sequenceOf(a) - sequenceOf(b)
const sequenceOf = (name: string): number => Number(DATA_FILE.exec(name)?.[1] ?? 0)

const emptyUnless =
  (code: string) =>
  (error: NodeJS.ErrnoException): string[] => {
    if (error.code === code) return []
    throw error
  }

/**
 * Truncates the last file where a power failure has left zeros or other bytes that are not a command. All bytes before
 * must be complete commands, and no complete command may follow. A copy of the file is kept.
 *
 * @returns one line that says what was done; undefined if nothing was cut
 * @throws {Error} of one line, if a file is damaged in its middle: nothing is changed then
 */
export async function repairTail(dataDir: string): Promise<string | undefined> {
  const { base, increments } = await readManifest(pathOf(dataDir, MANIFEST), [])
  for (const [i, name] of increments.entries()) {
    const path = pathOf(dataDir, name)
    const { wholeBytes, sizeBytes, stoppedAt } = await scanCommands(path)
    if (wholeBytes === sizeBytes) continue
    const tail = sizeBytes - wholeBytes
    const isLast = i === increments.length - 1
    // The first base there ever is holds nothing: without any of what came after it, that would be an empty start.
    const leavesNothing = wholeBytes === 0 && i === 0 && (base === undefined || sequenceOf(base) === 1)
    if (
      !isLast ||
      leavesNothing ||
      tail > LONGEST_TAIL_BYTES ||
      (await hasCommandAfter(path, stoppedAt, sizeBytes - stoppedAt))
    ) {
      throw new Error(
        `${path} is damaged at byte ${wholeBytes} of ${sizeBytes}, not only at its end: restore a backup ` +
          `of ${dataDir}, or accept the loss of everything after that byte, keep a copy and truncate the ` +
          `file (truncate -s ${wholeBytes} ${path})`,
      )
    }
    const copy = `${path}.damaged-${new Date().toISOString().replaceAll(/[:.]/g, '')}`
    await copyFile(path, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    await cut(path, wholeBytes)
    return (
      `${basename(path)} ended in ${tail} bytes that are not a command, as after a power failure; ` +
      `they were cut off, and the original is kept as ${copy}`
    )
  }
  return undefined
}

async function hasCommandAfter(path: string, from: number, length: number): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const tail = Buffer.alloc(length)
    await file.read(tail, 0, length, from)
    return findWholeCommand(tail)
  } finally {
    await file.close()
  }
}

async function cut(path: string, bytes: number): Promise<void> {
  await truncate(path, bytes)
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
