import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pages } from '../../support/markdown.ts'

/** Words that are not used, as patterns, and what to write instead. docs/concepts.md has the glossary. */
const INSTEAD: readonly (readonly [banned: string, instead: string])[] = [
  ['spoilt', 'damaged, unreadable'],
  ['perhaps', 'possibly, may'],
  ['anew|once more', 'again'],
  ['lies|stands', 'is'],
  ['besides', 'in addition'],
  ['to be had', 'available'],
  ['in vain', 'without result'],
  ['whatever', 'any'],
  ['whoever|somebody', 'a server, a client, another program'],
  ['graves?|bury|buried', 'dead letter'],
  ['twins?', 'duplicate'],
  ['as often as|at a loss|for want of|lest|nought|hence|whence|thence', 'plain words'],
  ['at hand', 'available'],
  ['in hand', 'in flight'],
  ['told off|to be told', 'rejected, reported'],
  ['is well|unwell', 'healthy'],
  ['hand(?:s|ed|ing)? back', 'release'],
  ['mend(?:s|ed|ing)?', 'repair'],
  ['made good|makes? good', 'make up for'],
  ['given up', 'cancelled, became a dead letter'],
  ['broken off|breaks? off|breaking off', 'cancel'],
  ['for good', 'permanently'],
  ['goe?s? on|going on', 'continue'],
]
const BANNED = INSTEAD.map(([banned, instead]) => ({
  pattern: new RegExp(`\\b(?:${banned})\\b`, 'i'),
  instead,
}))

const MOST_COLUMNS = 120

interface File {
  readonly path: string
  readonly lines: readonly string[]
}

const filesIn = (folder: string, pattern: RegExp): File[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => pattern.test(path))
    .map((path) => ({ path, lines: readFileSync(path, 'utf8').split('\n') }))

const code = [...filesIn('src', /\.(?:ts|js)$/), ...filesIn('lua', /\.lua$/)]
const tests = [...filesIn('test', /\.(?:ts|js)$/), ...filesIn('bench', /\.js$/)]
// The changelog tells of the past in the words of its time.
const prose = pages().filter(({ path }) => path !== 'CHANGELOG.md')

/** What is wrong with a line, or undefined. */
type Check = (line: string) => string | undefined

const problemsIn = (files: readonly File[], check: Check): string[] =>
  files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => {
      const problem = check(line)
      return problem === undefined ? [] : [`${path}:${i + 1}: ${problem}`]
    }),
  )

function bannedWord(line: string): string | undefined {
  for (const { pattern, instead } of BANNED) {
    const found = pattern.exec(line)?.[0]
    if (found !== undefined) return `"${found}" (instead: ${instead})`
  }
  return undefined
}

describe('the language of code and docs', () => {
  it('has none of the banned words', () => {
    expect(problemsIn([...code, ...prose], bannedWord)).toEqual([])
  })

  it('has no line over 120 columns, tables left out', () => {
    const isLong: Check = (line) =>
      line.length > MOST_COLUMNS && !line.startsWith('|') ? `${line.length} columns` : undefined
    expect(problemsIn([...code, ...tests, ...prose], isLong)).toEqual([])
  })
})
