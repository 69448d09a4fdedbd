/** Each bucket is so much wider than the one before: a quantile is right to within 5 %. */
const GROWTH = 1.1
const LOG_GROWTH = Math.log(GROWTH)
/** Beyond it, one bucket holds all: 12 days. */
const LAST_BUCKET = 220

const bucketOfMs = (ms: number): number =>
  ms < 1 ? 0 : Math.min(LAST_BUCKET, 1 + Math.floor(Math.log(ms) / LOG_GROWTH + 1e-9))

/** Most durations are short, and are looked up. */
const SHORT = Uint8Array.from({ length: 1_024 }, (_, ms) => bucketOfMs(ms))

/** Whole ms: how many there were of about which length. It merges with others, of whichever server. */
export class Histogram {
  readonly #counts = new Map<number, number>()
  #count = 0
  #max = 0

  /** How many were added. */
  get count(): number {
    return this.#count
  }

  /** The longest, exactly; 0 for none. */
  get max(): number {
    return this.#max
  }

  /** @param ms less than 0 counts as 0 */
  add(ms: number): void {
    const whole = ms > 0 ? Math.floor(ms) : 0
    this.#note(SHORT[whole] ?? bucketOfMs(whole), 1)
    if (whole > this.#max) this.#max = whole
  }

  merge(other: Histogram): void {
    for (const [bucket, count] of other.#counts) this.#note(bucket, count)
    this.#max = Math.max(this.#max, other.#max)
  }

  /** @param q from 0 to 1 @returns ms; null for none */
  quantile(q: number): number | null {
    let left = Math.max(1, Math.ceil(q * this.#count))
    for (const [bucket, count] of [...this.#counts].sort(([a], [b]) => a - b)) {
      left -= count
      if (left <= 0) return Math.min(this.#max, bucket === 0 ? 0 : Math.round(GROWTH ** (bucket - 0.5)))
    }
    return null
  }

  /** As text: `<max> <bucket>:<count> ...`; "" for none. */
  toString(): string {
    if (this.#count === 0) return ''
    return [this.#max, ...[...this.#counts].map(([bucket, count]) => `${bucket}:${count}`)].join(' ')
  }

  /** The reverse. What makes no sense is left out. */
  static parse(text: string): Histogram {
    const histogram = new Histogram()
    const [max = '', ...entries] = text.split(' ')
    for (const entry of entries) {
      const [, bucket, count] = /^(\d{1,3}):(\d{1,15})$/.exec(entry) ?? []
      if (bucket !== undefined) histogram.#note(Number(bucket), Number(count))
    }
    if (/^\d{1,15}$/.test(max)) histogram.#max = Number(max)
    return histogram
  }

  #note(bucket: number, count: number): void {
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + count)
    this.#count += count
  }
}
