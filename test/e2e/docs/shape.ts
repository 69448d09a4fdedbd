/** One answer of the service, or what the docs show of one. */
export interface Shown {
  /** of an answer that is shown with its head */
  readonly head?: { readonly status: number; readonly headers: ReadonlyMap<string, string> }
  /** undefined for none */
  readonly body: unknown
}

/**
 * Reads answers that follow each other: each a JSON value over one or more lines, with a head before it or without.
 *
 * @throws Error for what is neither
 */
export function readAnswers(text: string): Shown[] {
  const lines = text.replaceAll('\r', '').split('\n')
  const answers: Shown[] = []
  let at = 0
  const skipBlank = () => {
    while (lines[at]?.trim() === '') at += 1
  }
  for (skipBlank(); at < lines.length; skipBlank()) {
    const head = readHead()
    if (head !== undefined && (head.status === 204 || isReleased())) answers.push({ head, body: undefined })
    else answers.push({ ...(head === undefined ? {} : { head }), body: readJson() })
  }
  return answers

  function isReleased(): boolean {
    skipBlank()
    return at >= lines.length
  }

  function readHead(): Shown['head'] {
    const [, status] = /^HTTP\/\S+ (\d{3})/.exec(lines[at] ?? '') ?? []
    if (status === undefined) return undefined
    const headers = new Map<string, string>()
    for (at += 1; lines[at]?.trim(); at += 1) {
      const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(lines[at] ?? '') ?? []
      headers.set(name.toLowerCase(), value)
    }
    return { status: Number(status), headers }
  }

  function readJson(): unknown {
    for (let end = at + 1; end <= lines.length; end += 1) {
      try {
        const value: unknown = JSON.parse(lines.slice(at, end).join('\n'))
        at = end
        return value
      } catch {
        // It goes on in the next line.
      }
    }
    throw new Error(`neither an answer nor JSON: ${lines.slice(at, at + 3).join('\n')}`)
  }
}

/** Of these fields the words and numbers are compared too: readers take them literally. */
const LITERAL: ReadonlySet<string> = new Set(['status', 'detail', 'title', 'reason', 'duplicate', 'version'])

/** What is compared of an answer: the names of its fields, and the kind of each value. */
export function shapeOf(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => shapeOf(item))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item, key)]))
  }
  if (LITERAL.has(name) && isPlain(value)) return value
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT.*Z$/.test(value)) return 'a time'
  return value === null ? 'null' : typeof value
}

/** The version of a server is another with every release. */
const isPlain = (value: unknown): boolean => !/^\d+\.\d+\.\d+/.test(String(value))

/** The same for lines of text: every number may be another. */
export const shapeOfLine = (line: string): string => line.trim().replace(/\d+(?:\.\d+)?(?:e[+-]?\d+)?/g, 'N')
