// @ts-check
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { short, targetText } from './figures.js'
import { machineText } from './machine.js'

/**
 * @typedef {import('./figures.js').Row} Row
 * @typedef {{ part: string, machine: ReturnType<typeof import('./machine.js').describeMachine>, rows: Row[] }} Result
 */

const WIDTH = 890
const BARS_AT = 330
const LONGEST_BAR = 290
const BAR = 11
const LINE = 16
const GAP = 10
const HEADING = 34
const TOP = 76

/** @type {(text: string) => string} */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/**
 * Draws the newest results of each part.
 *
 * @param {readonly string[]} parts in the order they are drawn
 * @param {string} folder of results
 * @param {string} file
 */
export function drawNewest(parts, folder, file) {
  const files = readdirSync(folder).sort()
  const results = parts.flatMap((part) => {
    const name = files.findLast((each) => each.startsWith(`${part}-`) && each.endsWith('.json'))
    return name === undefined
      ? []
      : [/** @type {Result} */ (JSON.parse(readFileSync(join(folder, name), 'utf8')))]
  })
  writeFileSync(file, chart(results))
}

/**
 * Everything that has a ratio to reach: bars for us and for what we are compared with, on a scale of their own, as each
 * has its own unit.
 *
 * @param {readonly Result[]} results
 * @returns {string} SVG that is readable on a light and on a dark page
 */
export function chart(results) {
  let y = TOP
  const drawn = []
  for (const { part, rows } of results) {
    const shown = rows.filter(({ ratio, target }) => ratio !== undefined && target !== undefined)
    if (shown.length === 0) continue
    drawn.push(text(20, y + 18, part, 'part'))
    y += HEADING
    for (const what of new Set(shown.map((row) => row.what))) {
      const group = shown.filter((row) => row.what === what)
      drawn.push(...bars(group, y))
      y += LINE * (group.length + 1) + GAP
    }
    y += GAP
  }
  const height = y + 20
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"` +
      ' role="img" aria-label="Carillon beside others">',
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>`,
    text(20, 32, 'Carillon beside others', 'title'),
    text(20, 54, caption(results), 'small'),
    ...legend(),
    ...drawn,
    '</svg>',
  ].join('\n')}\n`
}

/** Colours that keep their contrast on either page. */
const STYLE = [
  'text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:18px;font-weight:600}',
  '.part{font-size:14px;font-weight:600}.small{font-size:11px;fill:#59636e}.page{fill:#fff}',
  '.ours{fill:#0969da}.theirs{fill:#afb8c1}.end{text-anchor:end}.yes{fill:#1a7f37}.no{fill:#bc4c00}',
  '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117}',
  '.ours{fill:#4493f8}.theirs{fill:#59636e}.yes{fill:#3fb950}.no{fill:#f0883e}}',
].join('')

/** @param {readonly Result[]} results */
function caption(results) {
  const days = [...new Set(results.map(({ machine }) => machine.at.slice(0, 10)))].sort()
  const [first] = results
  if (first === undefined) return 'nothing measured yet'
  const when = [days[0], days.at(-1)].filter((day, i, all) => i === 0 || day !== all[0]).join(' to ')
  return `${machineText(first.machine)}, Node ${first.machine.node}; measured ${when}`
}

const legend = () => [
  ...[bar(BARS_AT, 62, 10, 'ours'), text(BARS_AT + 16, 71, 'Carillon', 'small')],
  ...[bar(BARS_AT + 80, 62, 10, 'theirs'), text(BARS_AT + 96, 71, 'what it is compared with', 'small')],
  text(WIDTH - 20, 71, 'ratio (to reach)', 'small end'),
]

/** Ours first, then each other's with the ratio of ours to it. @type {(rows: readonly Row[], y: number) => string[]} */
function bars(rows, y) {
  const [{ what = '', figure = 0, unit = '' } = {}] = rows
  const scale = LONGEST_BAR / Math.max(figure, ...rows.map(({ besideFigure = 0 }) => besideFigure))
  const others = rows.flatMap(({ beside = '', besideFigure = 0, ratio, target, reached }, i) => {
    const top = y + (i + 1) * LINE
    const goal = target === undefined ? '' : ` (${targetText(target)})`
    return [
      text(BARS_AT - 10, top + 10, beside, 'small end'),
      bar(BARS_AT, top, besideFigure * scale, 'theirs'),
      text(BARS_AT + besideFigure * scale + 6, top + 10, `${short(besideFigure)} ${unit}`, 'small'),
      text(WIDTH - 20, top + 10, `${ratio?.median.toFixed(2)}${goal}`, `end ${reached ? 'yes' : 'no'}`),
    ]
  })
  return [
    text(BARS_AT - 10, y + 10, what, 'end'),
    bar(BARS_AT, y, figure * scale, 'ours'),
    text(BARS_AT + figure * scale + 6, y + 10, `${short(figure)} ${unit}`, 'small'),
    ...others,
  ]
}

/** @type {(x: number, y: number, width: number, kind: string) => string} */
const bar = (x, y, width, kind) =>
  `<rect class="${kind}" x="${x}" y="${y}" width="${Math.max(1, width).toFixed(1)}" height="${BAR}" rx="2"/>`

/** @type {(x: number, y: number, words: string, kind: string) => string} */
const text = (x, y, words, kind) =>
  `<text class="${kind}" x="${x.toFixed(1)}" y="${y}">${escaped(words)}</text>`
