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

/** @param {number} value */
export const whole = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '')

/** @param {readonly (readonly string[])[]} rows the first are the headings; all columns but the first two are figures */
export function table(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (/** @type {readonly string[]} */ row) =>
    row
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join(' | ')
  const [headings = [], ...figures] = rows
  const rule = widths
    .map((width, column) => (column < 2 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
    .join(' | ')
  return [line(headings), rule, ...figures.map(line)].map((text) => `| ${text} |`).join('\n')
}
