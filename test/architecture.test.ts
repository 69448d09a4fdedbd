import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FIGURES, OWN_REDIS, PROCESSES, WITHOUT_REDIS } from './support/parts.ts'

/** Which rooms each room may import from, besides itself and the files at the top of src. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  audit: ['redis'],
  processes: ['deliver', 'redis'],
  http: ['json', 'pull', 'schedule'],
  pull: ['claim', 'redis', 'settle'],
  schedule: ['redis'],
  claim: ['deliver', 'redis', 'settle'],
  settle: ['deliver', 'redis'],
  deliver: [],
  redis: ['setup'],
  setup: [],
  json: [],
}

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(ts|js)$/.test(path))
  .map((path) => ({ path, text: readFileSync(join('src', path), 'utf8') }))

describe('the source tree', () => {
  it('has arrows that point one way', () => {
    const wrong = sources.flatMap(({ path, text }) => {
      const room = path.includes('/') ? path.split('/')[0] : undefined
      if (room === undefined) return []
      const imported = [...text.matchAll(/from '\.\.\/(\w+)\//g)].map((match) => match[1] ?? '')
      return imported
        .filter((other) => !MAY_IMPORT[room]?.includes(other))
        .map((other) => `${path} imports ${other}`)
    })
    expect(wrong).toEqual([])
  })

  it('keeps ioredis inside src/redis', () => {
    const leaks = sources.filter(
      ({ path, text }) => text.includes("from 'ioredis'") && !path.startsWith('redis/'),
    )
    expect(leaks.map(({ path }) => path)).toEqual([])
  })

  it('reads the environment only where the process begins, and in set-up, which comes before it', () => {
    const readers = sources.filter(
      ({ path, text }) => text.includes('process.env') && !path.startsWith('setup/'),
    )
    expect(readers.map(({ path }) => path).sort()).toEqual(['audit.ts', 'service-process.ts'])
  })
})

describe('the tests', () => {
  it('start processes in one place, which sees to their end', () => {
    const starters = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((path) =>
      /import \{[^}]*\b(spawn|fork|exec)\b[^}]*\} from 'node:child_process'/.test(
        path.endsWith('.ts') ? readFileSync(join('test', path), 'utf8') : '',
      ),
    )
    expect(starters.sort()).toEqual(['suite/victim.ts', 'support/children.ts'])
  })

  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => `test/${path}`)
  const patterns = [...WITHOUT_REDIS, ...OWN_REDIS, ...FIGURES, ...PROCESSES]
  const isNamedBy = (file: string, pattern: string) =>
    new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`).test(file)

  it('that stand in a list of parts.ts stand there once, and are there', () => {
    const wrong = patterns.filter((pattern) => !files.some((file) => isNamedBy(file, pattern)))
    expect(wrong).toEqual([])
    const twice = files.filter((file) => patterns.filter((pattern) => isNamedBy(file, pattern)).length > 1)
    expect(twice).toEqual([])
  })
})
