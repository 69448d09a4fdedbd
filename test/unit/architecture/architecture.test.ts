import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The rooms that each room may import from, besides itself and those that everybody may. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ['supervisor'],
  supervisor: ['server', 'dev', 'destinations', 'observability', 'store'],
  server: [
    ...[
      'clock',
      'http',
      'worker',
      'leases',
      'operations',
      'messages',
      'reasons',
      'membership',
      'pauses',
      'events',
      'records',
      'shards',
      'traffic',
    ],
    ...['destinations', 'observability', 'store'],
  ],
  audit: ['server', 'dev', 'store'],
  dev: ['http', 'store'],
  http: [
    ...[
      'clock',
      'messages',
      'operations',
      'reasons',
      'leases',
      'membership',
      'pauses',
      'events',
      'records',
      'traffic',
    ],
    ...['destinations', 'observability'],
  ],
  clock: ['store'],
  operations: ['messages', 'observability', 'store'],
  messages: ['events', 'records', 'shards', 'destinations', 'observability', 'store'],
  reasons: ['leases', 'records', 'shards', 'store'],
  leases: ['records', 'shards', 'observability', 'store'],
  worker: ['membership', 'events', 'records', 'shards', 'destinations', 'observability', 'store'],
  membership: ['store'],
  pauses: ['events', 'shards', 'destinations', 'store'],
  events: ['records', 'destinations', 'observability', 'store'],
  shards: ['store'],
  traffic: ['observability', 'store'],
  observability: ['destinations'],
  records: ['destinations'],
  destinations: [],
  store: [],
  runtime: [],
  domain: [],
}
/** Everybody may import from the rooms behind it; the last one imports from nobody. */
const SHARED = ['runtime', 'domain']

const filesOf = (folder: string, pattern: RegExp) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => pattern.test(path))
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
const sources = filesOf('src', /\.(ts|js)$/)
const MOST_LINES = 300

const roomOf = (path: string) => path.split('/')[0]?.replace(/\.ts$/, '') ?? ''
const arrows = sources.flatMap(({ path, text }) =>
  [...text.matchAll(/(?:from|import\(?|load\()\s*'(\.[^']+)'/g)].map(([, target = '']) => ({
    path,
    from: roomOf(path),
    to: roomOf(join(path, '..', target)),
  })),
)

describe('the source tree', () => {
  it('holds main.ts and rooms', () => {
    expect(sources.map(({ path }) => path).filter((path) => !path.includes('/'))).toEqual(['main.ts'])
    expect([...new Set(sources.map(({ path }) => roomOf(path)))].sort()).toEqual(
      Object.keys(MAY_IMPORT).sort(),
    )
  })

  it('has arrows that point one way', () => {
    const shared = (room: string) => SHARED.slice(SHARED.indexOf(room) + 1)
    const wrong = arrows.filter(
      ({ from, to }) => from !== to && ![...(MAY_IMPORT[from] ?? []), ...shared(from)].includes(to),
    )
    expect(wrong.map(({ path, to }) => `${path} imports from ${to}`)).toEqual([])
  })

  it('has no circle between rooms', () => {
    const targetsOf = (room: string): string[] => [
      ...new Set(arrows.filter(({ from, to }) => from === room && to !== room).map(({ to }) => to)),
    ]
    const follow = (room: string, trail: readonly string[]): string[] =>
      trail.includes(room)
        ? [[...trail, room].join(' -> ')]
        : targetsOf(room).flatMap((next) => follow(next, [...trail, room]))
    expect(Object.keys(MAY_IMPORT).flatMap((room) => follow(room, []))).toEqual([])
  })

  it('keeps ioredis inside src/store', () => {
    const leaks = sources.filter(
      ({ path, text }) => text.includes("from 'ioredis'") && !path.startsWith('store/'),
    )
    expect(leaks.map(({ path }) => path)).toEqual([])
  })

  it('reads the environment only where the process begins, and in dev, which comes before it', () => {
    const readers = sources.filter(
      ({ path, text }) => text.includes('process.env') && !path.startsWith('dev/'),
    )
    expect(readers.map(({ path }) => path).sort()).toEqual(['audit/main.ts', 'supervisor/service-process.ts'])
  })
})

describe('code', () => {
  it('has no file over 300 lines', () => {
    const folders = ['src', 'lua', 'test', 'bench', 'packages'].filter((folder) => existsSync(folder))
    const long = folders.flatMap((folder) =>
      filesOf(folder, /^(?!.*(?:^|\/)(?:node_modules|dist)\/).*\.(?:tsx?|js|lua)$/)
        .filter(({ text }) => text.split('\n').length - 1 > MOST_LINES)
        .map(({ path }) => join(folder, path)),
    )
    expect(long).toEqual([])
  })
})

describe('the tests', () => {
  it('start processes in one place, which sees to their end', () => {
    const starters = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((path) =>
      /import \{[^}]*\b(spawn|fork|exec)\b[^}]*\} from 'node:child_process'/.test(
        path.endsWith('.ts') ? readFileSync(join('test', path), 'utf8') : '',
      ),
    )
    expect(starters.sort()).toEqual(['faults/suite/victim.ts', 'support/children.ts'])
  })

  it('each lie in a folder that a project of vitest.config.ts runs', () => {
    const folders = ['unit', 'integration', 'faults', 'e2e', 'figures']
    const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    const runByNobody = files.filter(
      (path) => path.endsWith('.test.ts') && !folders.includes(path.split('/')[0] ?? ''),
    )
    expect(runByNobody).toEqual([])
  })

  it('have titles that are sentences: none begins with a preposition or a relative clause', () => {
    // In a list of failures, "of 301 is not followed" says nothing of what is broken.
    const beginnings = [
      'of|that|which|who|whose|with|without|in|on|at|by|for|from|to|as|when|while|after|before|behind|beyond',
      'under|within|between|until|through|and|or|but',
    ].join('|')
    const title = new RegExp(
      `(?:\\bit(?:\\.(?:runIf|skipIf)\\([^\\n]*\\))?|[\\])](?: as const)?\\))\\(\\s*['"\`]((?:${beginnings}) [^\\n]*)`,
      'g',
    )
    const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    const wrong = files
      .filter((path) => /\.(test|contract)\.ts$/.test(path))
      .flatMap((path) =>
        [...readFileSync(join('test', path), 'utf8').matchAll(title)].map(([, text]) => `${path}: ${text}`),
      )
    expect(wrong).toEqual([])
  })
})
