import { describe, expect, it } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { startFleet } from '../../support/fleet.ts'
import { readPage } from '../../support/markdown.ts'
import type { Service } from '../../support/service.ts'

/** The first cells of a page's table rows, as far as they are code. */
const firstCells = (path: string): string[] =>
  readPage(path).prose.flatMap((line) => /^\| `([^`]+)` \|/.exec(line)?.[1] ?? [])

describe('the reference', () => {
  it('lists every route and every metric of ours, and no other', async () => {
    const { servers } = await startFleet({ size: 1, env: { TEST_CLOCK: 'true' } })
    const server = servers[0] as Service

    const { body } = await server.call<{ paths: Record<string, object> }>('GET', '/openapi.json')
    const served = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const listed = firstCells('docs/reference/http-api.md').filter((cell) => /^[A-Z]+ \//.test(cell))
    expect(listed.sort()).toEqual(served.sort())

    const text = await (await fetch(`${server.url}/metrics`)).text()
    const reported = [...text.matchAll(/^# TYPE (carillon_\w+) \w+$/gm)].map(([, name]) => name ?? '')
    const documented = firstCells('docs/reference/metrics.md').filter((cell) => cell.startsWith('carillon_'))
    expect(documented.sort()).toEqual(reported.sort())
  })

  it('lists every key of a shard, and no other', () => {
    const { forStreams, ...keys } = keysOf(7, 'carillon')
    const written = Object.values(keys).map((key) => key.replace(':7}', ':n}'))
    const listed = firstCells('docs/reference/redis-keys.md')
      .filter((cell) => cell.startsWith('{carillon:n}:'))
      .map((cell) => cell.replace(/<\w+>$/, ''))
    expect(listed.sort()).toEqual([...written, '{carillon:n}:scheduled_messages:'].sort())
    expect(forStreams).toBe('{carillon:7}:scheduled_messages:stream')
  })

  it('defines each term of the glossary once, in order', () => {
    const rows = readPage('docs/concepts.md').prose.flatMap(
      (line) => /^\| ([a-zA-Z -]+) \|/.exec(line)?.[1] ?? [],
    )
    const terms = rows.slice(rows.indexOf('term') + 1)
    expect(terms.length).toBeGreaterThan(40)
    expect(terms).toEqual(
      [...new Set(terms)].sort((a, b) => a.localeCompare(b, 'en', { sensitivity: 'base' })),
    )
  })
})
