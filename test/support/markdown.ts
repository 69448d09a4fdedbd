import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A fenced block of code. */
export interface Fence {
  readonly language: string
  readonly text: string
  /** the number of its first line of code, from 1 */
  readonly line: number
  /** whether nothing but blank lines is between it and the fence before */
  readonly followsFence: boolean
}

export interface Page {
  /** from the root of the project, such as docs/concepts.md */
  readonly path: string
  readonly lines: readonly string[]
  readonly fences: readonly Fence[]
  /** its lines outside of fences; those within are empty */
  readonly prose: readonly string[]
}

/** Every page for readers: README and the pages beside it, docs, and the pages of the benchmark. */
export const pages = (): Page[] =>
  [...pagesIn('.'), ...pagesIn('docs', true), ...pagesIn('bench')].map(readPage)

const pagesIn = (folder: string, recursive = false): string[] =>
  readdirSync(folder, { recursive, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
    .sort()

/** @throws Error for a fence that is never closed */
export function readPage(path: string): Page {
  const lines = readFileSync(path, 'utf8').split('\n')
  const fences: Fence[] = []
  const prose: string[] = []
  let open: { language: string; line: number; followsFence: boolean } | undefined
  let text: string[] = []
  let onlyBlankSinceFence = false
  lines.forEach((line, i) => {
    const [, language] = /^\s*```(\w*)\s*$/.exec(line) ?? []
    prose.push(language === undefined && open === undefined ? line : '')
    if (language === undefined) {
      if (open !== undefined) text.push(line)
      else if (line.trim() !== '') onlyBlankSinceFence = false
    } else if (open === undefined) {
      open = { language, line: i + 2, followsFence: onlyBlankSinceFence }
      text = []
    } else {
      fences.push({ ...open, text: text.join('\n') })
      open = undefined
      onlyBlankSinceFence = true
    }
  })
  if (open !== undefined) throw new Error(`${path}: the fence at line ${open.line - 1} is not closed`)
  return { path, lines, fences, prose }
}
