// @ts-check

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2
}

/**
 * How each figure of one run relates to the other's next to it in time, so that what slows the machine for longer than
 * a round slows both.
 *
 * @param {readonly number[]} subject
 * @param {readonly number[]} beside
 */
export function ratios(subject, beside) {
  const each = subject.map((value, i) => value / (beside[i] ?? Number.NaN))
  return { median: median(each), least: Math.min(...each), most: Math.max(...each) }
}

/**
 * @typedef {{ atLeast: number } | { atMost: number }} Target
 *
 * @typedef {object} Row one line of the table that all parts share
 * @property {string} part
 * @property {string} what
 * @property {string} unit
 * @property {number} figure ours, the median of all rounds
 * @property {string} [beside] what it is compared with
 * @property {number} [besideFigure]
 * @property {{ median: number, least: number, most: number }} [ratio] ours to the other's, pair by pair
 * @property {Target} [target] for the ratio, or for the figure where there is none to compare with
 * @property {boolean} [reached]
 */

/**
 * A figure beside another's, of the same rounds.
 *
 * @param {{ part: string, what: string, unit: string, figures: readonly number[], target?: Target,
 *   beside: { name: string, figures: readonly number[] } }} measured
 * @returns {Row}
 */
export function compared({ part, what, unit, figures, beside, target }) {
  const ratio = ratios(figures, beside.figures)
  return {
    ...{ part, what, unit, figure: median(figures) },
    ...{ beside: beside.name, besideFigure: median(beside.figures), ratio },
    ...(target === undefined ? {} : { target, reached: reaches(ratio.median, target) }),
  }
}

/**
 * A figure that stands for itself.
 *
 * @param {{ part: string, what: string, unit: string, figures: readonly number[], target?: Target }} measured
 * @returns {Row}
 */
export function alone({ part, what, unit, figures, target }) {
  const figure = median(figures)
  return {
    ...{ part, what, unit, figure },
    ...(target === undefined ? {} : { target, reached: reaches(figure, target) }),
  }
}

/** @type {(value: number, target: Target) => boolean} */
const reaches = (value, target) => ('atLeast' in target ? value >= target.atLeast : value <= target.atMost)

/** @param {Target} target */
export const targetText = (target) => ('atLeast' in target ? `>= ${target.atLeast}` : `<= ${target.atMost}`)

/** @param {number} value */
export const whole = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '')

/** A figure with as many digits as say something. @param {number | undefined} value */
export function short(value) {
  if (value === undefined || !Number.isFinite(value)) return ''
  if (Math.abs(value) >= 100) return whole(value)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

const HEADINGS = [
  ...[
    'part',
    'what',
    'Carillon',
    'unit',
    'beside',
    'its figure',
    'ratio',
    'least to most',
    'to reach',
    'reached',
  ],
]
const TEXT_COLUMNS = new Set([0, 1, 3, 4])

/** The one table. @param {readonly Row[]} rows */
export function tableOf(rows) {
  const cells = rows.map(({ part, what, figure, unit, beside, besideFigure, ratio, target, reached }) => [
    ...[part, what, short(figure), unit, beside ?? '', short(besideFigure)],
    ...(ratio
      ? [ratio.median.toFixed(2), `${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)}`]
      : ['', '']),
    ...(target ? [targetText(target), reached ? 'yes' : 'no'] : ['', '']),
  ])
  return table([HEADINGS, ...cells], TEXT_COLUMNS)
}

const FIRST_TWO = new Set([0, 1])

/**
 * @param {readonly (readonly string[])[]} rows the first are the headings
 * @param {ReadonlySet<number>} textColumns those that are no figures
 */
export function table(rows, textColumns = FIRST_TWO) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (/** @type {readonly string[]} */ row) =>
    row
      .map((cell, column) =>
        textColumns.has(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join(' | ')
  const [headings = [], ...figures] = rows
  const rule = widths
    .map((width, column) => (textColumns.has(column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
    .join(' | ')
  return [line(headings), rule, ...figures.map(line)].map((text) => `| ${text} |`).join('\n')
}
