import { existsSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pages, readPage } from '../../support/markdown.ts'

interface Link {
  /** the page that has it */
  readonly from: string
  /** as it is written there */
  readonly target: string
  /** from the root of the project; the page itself for an anchor alone */
  readonly path: string
  readonly anchor: string | undefined
}

/** Links to files of the project, those to other places left out. */
function linksOf(path: string): Link[] {
  return readPage(path).prose.flatMap((line) =>
    [...line.replaceAll(/`[^`]*`/g, '').matchAll(/\]\(([^()\s]+)\)/g)].flatMap(([, target = '']) => {
      if (/^[a-z]+:/.test(target)) return []
      const [file = '', anchor] = target.split('#', 2)
      return [{ from: path, target, path: file === '' ? path : join(dirname(path), file), anchor }]
    }),
  )
}

/** As GitHub makes anchors of headings. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>()
  for (const line of readPage(path).prose) {
    const [, heading] = /^#{1,6} (.+)$/.exec(line) ?? []
    if (heading === undefined) continue
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')
    let anchor = slug
    for (let i = 1; anchors.has(anchor); i += 1) anchor = `${slug}-${i}`
    anchors.add(anchor)
  }
  return anchors
}

describe('the docs', () => {
  const paths = pages().map(({ path }) => path)

  it('have only links that lead to a file and a heading', () => {
    const leads = ({ path, anchor }: Link) =>
      existsSync(path) && (anchor === undefined || (statSync(path).isFile() && anchorsOf(path).has(anchor)))
    const broken = paths.flatMap(linksOf).filter((link) => !leads(link))
    expect(broken.map(({ from, target }) => `${from}: ${target}`)).toEqual([])
  })

  it('have no page that no other page leads to', () => {
    const linked = new Set(paths.flatMap(linksOf).map(({ path }) => path))
    const orphans = paths.filter((path) => path.startsWith('docs/') && !linked.has(relative('.', path)))
    expect(orphans).toEqual([])
  })
})

describe('the README', () => {
  it('has at most 200 lines', () => {
    expect(readPage('README.md').lines.length - 1).toBeLessThanOrEqual(200)
  })

  it('has no line of code over 120 columns', () => {
    const code = readPage('README.md').fences.flatMap(({ text }) => text.split('\n'))
    expect(code.filter((line) => line.length > 120)).toEqual([])
  })
})
