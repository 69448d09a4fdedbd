// @ts-check
// The reader of a console, a process of its own: it takes what comes on standard input, and looks into it only when
// asked, so as to be in nobody's way meanwhile.
//
//   { reset: true }   counts from 0; answers {}
//   { expect }        answers {} once so many lines have come
//   { take: true }    answers Taken, and counts from 0

/**
 * @typedef {object} Quantiles ms
 * @property {number} p50
 * @property {number} p90
 * @property {number} p99
 * @property {number} p999
 * @property {number} most
 *
 * @typedef {object} Taken
 * @property {number} lines of messages
 * @property {number} distinct how many different ids they have
 * @property {Quantiles} lateness by when they came, after they were due
 * @property {Quantiles} ownLateness by what they say themselves, in whole ms
 * @property {string} [complaint] a line that was none of a message, but a warning
 */

const LINE_BREAK = 10
/** As pino numbers levels. */
const WARN = 40

/** @type {{ at: number, bytes: Buffer }[]} */
let chunks = []
let lines = 0
let expected = Number.POSITIVE_INFINITY
let offsetMs = 0

/** Finds what to add to the monotonic clock for the wall clock, which tells whole ms only: at the moment of a tick. */
function setClock() {
  const before = Date.now()
  let now = before
  while (now === before) now = Date.now()
  offsetMs = now - performance.now()
}

function reset() {
  chunks = []
  lines = 0
  setClock()
}

process.stdin.on('data', (/** @type {Buffer} */ bytes) => {
  chunks.push({ at: performance.now() + offsetMs, bytes })
  for (let i = bytes.indexOf(LINE_BREAK); i !== -1; i = bytes.indexOf(LINE_BREAK, i + 1)) lines += 1
  if (lines < expected) return
  expected = Number.POSITIVE_INFINITY
  process.send?.({})
})

/** @returns {Taken} */
function take() {
  const [ids, lateness, ownLateness] = [new Set(), /** @type {number[]} */ ([]), /** @type {number[]} */ ([])]
  /** @type {string | undefined} */
  let complaint
  let rest = ''
  for (const { at, bytes } of chunks) {
    const all = (rest + bytes.toString('latin1')).split('\n')
    rest = all.pop() ?? ''
    for (const line of all) {
      const { messageId, dueAt, lateMs, level } = JSON.parse(line)
      if (messageId !== undefined) {
        ids.add(messageId)
        lateness.push(at - dueAt)
        ownLateness.push(lateMs)
      } else if (level >= WARN) complaint = line
    }
  }
  reset()
  const [all, own] = [quantiles(lateness), quantiles(ownLateness)]
  return {
    ...{ lines: lateness.length, distinct: ids.size, lateness: all, ownLateness: own },
    ...(complaint === undefined ? {} : { complaint }),
  }
}

/** @type {(values: number[]) => Quantiles} */
function quantiles(values) {
  const sorted = Float64Array.from(values).sort()
  const at = (/** @type {number} */ part) => sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), most: at(1) }
}

process.on('message', (/** @type {{ reset?: true, expect?: number, take?: true }} */ order) => {
  if (order.expect !== undefined) {
    if (lines >= order.expect) process.send?.({})
    else expected = order.expect
  } else if (order.take) process.send?.(take())
  else {
    reset()
    process.send?.({})
  }
})
process.on('disconnect', () => process.exit())
