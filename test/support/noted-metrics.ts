import type { DestinationType, Metrics } from '../../src/observability/metrics.ts'

/** Metrics that record what was reported. */
export interface NotedMetrics {
  readonly metrics: Metrics
  /** a sum by its name, such as `delivered webhook`, `failed pull dead`, `locks lost`; 0 if never reported */
  of(name: string): number
  /** the lateness of each started delivery, in order */
  lateMs(type: DestinationType): readonly number[]
  /** the number of messages of each claim call, in order */
  readonly claimBatches: readonly number[]
}

export function noteMetrics(): NotedMetrics {
  const sums = new Map<string, number>()
  const late: { type: DestinationType; lateMs: number }[] = []
  const claimBatches: number[] = []
  const add = (name: string, count: number) => void sums.set(name, (sums.get(name) ?? 0) + count)
  return {
    metrics: {
      deliveryStarted: (type, lateMs) => void late.push({ type, lateMs }),
      delivered: (type, count) => add(`delivered ${type}`, count),
      failed: (type, then) => add(`failed ${type} ${then}`, 1),
      ended: () => undefined,
      cancelled: (count) => add('cancelled', count),
      died: (count) => add('died', count),
      recovered: (count) => add('recovered', count),
      locksLost: (count) => add('locks lost', count),
      claimed: (count) => void claimBatches.push(count),
      scheduled: (count) => add('scheduled', count),
      deadTrimmed: (count) => add('dead trimmed', count),
      operationStepped(action, done, failed) {
        add(`operation ${action} done`, done)
        add(`operation ${action} failed`, failed)
      },
      operationEnded: (action, state) => add(`operation ${action} ${state}`, 1),
      eventStreams: () => undefined,
      eventsWritten: (count) => add('events written', count),
      eventsDropped: (count) => add('events dropped', count),
      dataLost: () => add('data lost', 1),
    },
    of: (name) => sums.get(name) ?? 0,
    lateMs: (type) => late.filter((each) => each.type === type).map(({ lateMs }) => lateMs),
    claimBatches,
  }
}
