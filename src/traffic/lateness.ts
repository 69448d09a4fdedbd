import { Histogram } from './histogram.ts'
import { type HourDeps, readHour, totalOf } from './hour.ts'
import { MINUTE_MS } from './recorder.ts'

/** How late deliveries began, ms; quantiles are right to within 5 %. */
export interface Lateness {
  /** how many deliveries began */
  readonly count: number
  /** null where none began */
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
}

export interface LatenessReport extends Lateness {
  /** those in which deliveries began, in order; `at` is when each began, epoch ms */
  readonly minutes: readonly (Lateness & { readonly at: number })[]
}

/**
 * How late deliveries began, over all lanes and servers, in the last hour.
 *
 * @param from epoch ms; minutes that end later count
 * @param to epoch ms; minutes that begin earlier count
 */
export async function lateness(
  deps: HourDeps,
  { from, to }: { from: number; to: number },
): Promise<LatenessReport> {
  const minutes = (await readHour(deps))
    .filter(({ at }) => at + MINUTE_MS > from && at < to)
    .map(({ at, lanes }) => ({ at, late: totalOf(lanes).late }))
    .filter(({ late }) => late.count > 0)
  const all = new Histogram()
  for (const { late } of minutes) all.merge(late)
  return { ...latenessOf(all), minutes: minutes.map(({ at, late }) => ({ at, ...latenessOf(late) })) }
}

export const latenessOf = (late: Histogram): Lateness => ({
  count: late.count,
  p50: late.quantile(0.5),
  p99: late.quantile(0.99),
  max: late.count === 0 ? null : late.max,
})
