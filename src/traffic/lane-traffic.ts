import { Histogram } from './histogram.ts'

/** What went wrong last. */
export interface LastError {
  /** epoch ms by Redis's clock */
  readonly at: number
  /** a short code, such as `status 503` */
  readonly reason: string
}

/** What was delivered to one lane in some time, or to several. */
export class LaneTraffic {
  delivered = 0
  /** deliveries that failed */
  failed = 0
  /** those of them whose messages are due again */
  retried = 0
  /** those of them whose messages became dead letters */
  dead = 0
  /** how often which status was answered; where there was no answer, for which reason */
  readonly codes = new Map<string, number>()
  /** how late deliveries began, ms */
  readonly late: Histogram
  /** how long deliveries took, ms */
  readonly took: Histogram
  lastError: LastError | null = null

  constructor(late = new Histogram(), took = new Histogram()) {
    this.late = late
    this.took = took
  }

  /** How busy it is. */
  get volume(): number {
    return this.delivered + this.failed + this.late.count
  }

  countCode(code: string, count = 1): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + count)
  }

  merge(other: LaneTraffic): void {
    this.delivered += other.delivered
    this.failed += other.failed
    this.retried += other.retried
    this.dead += other.dead
    for (const [code, count] of other.codes) this.countCode(code, count)
    this.late.merge(other.late)
    this.took.merge(other.took)
    if (other.lastError !== null && other.lastError.at >= (this.lastError?.at ?? 0))
      this.lastError = other.lastError
  }
}

/** The lane of all that had too little traffic to be kept apart. No lane of messages has this name. */
export const OTHER = 'other'

/** So many lanes are kept apart. */
export const MOST_LANES = 200

/** The busiest lanes; the rest are merged into one. */
export function busiest(lanes: ReadonlyMap<string, LaneTraffic>): Map<string, LaneTraffic> {
  const named = [...lanes].filter(([lane]) => lane !== OTHER)
  const sorted = named.sort(([, a], [, b]) => b.volume - a.volume)
  const kept = new Map(sorted.slice(0, MOST_LANES))
  const other = new LaneTraffic()
  for (const [, traffic] of sorted.slice(MOST_LANES)) other.merge(traffic)
  const before = lanes.get(OTHER)
  if (before !== undefined) other.merge(before)
  return other.volume > 0 ? kept.set(OTHER, other) : kept
}

interface Encoded {
  readonly delivered?: number
  readonly failed?: number
  readonly retried?: number
  readonly dead?: number
  readonly codes?: Readonly<Record<string, number>>
  readonly late?: string
  readonly took?: string
  readonly lastError?: LastError | null
}

/** As JSON; what is 0 or empty is left out. */
export const encodeLanes = (lanes: ReadonlyMap<string, LaneTraffic>): string =>
  JSON.stringify(
    Object.fromEntries(
      [...lanes].map(([lane, { delivered, failed, retried, dead, codes, late, took, lastError }]) => {
        const fields = { delivered, failed, retried, dead, late: String(late), took: String(took), lastError }
        const given = Object.entries(fields).filter(([, value]) => value)
        return [
          lane,
          { ...Object.fromEntries(given), ...(codes.size > 0 ? { codes: Object.fromEntries(codes) } : {}) },
        ]
      }),
    ),
  )

/** The reverse. What no server has written counts as nothing. */
export function decodeLanes(text: string): Map<string, LaneTraffic> {
  try {
    const lanes = Object.entries(JSON.parse(text) as Readonly<Record<string, Encoded>>)
    return new Map(lanes.map(([lane, encoded]) => [lane, decode(encoded)]))
  } catch {
    return new Map()
  }
}

function decode({ delivered, failed, retried, dead, codes, late, took, lastError }: Encoded): LaneTraffic {
  const traffic = new LaneTraffic(Histogram.parse(late ?? ''), Histogram.parse(took ?? ''))
  traffic.delivered = delivered ?? 0
  traffic.failed = failed ?? 0
  traffic.retried = retried ?? 0
  traffic.dead = dead ?? 0
  traffic.lastError = lastError ?? null
  for (const [code, count] of Object.entries(codes ?? {})) traffic.countCode(code, count)
  return traffic
}
