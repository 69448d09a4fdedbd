import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client'
import { DESTINATIONS } from '../destinations/registry.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import type { DestinationType, Metrics, Totals } from './metrics.ts'
import { operationMetrics } from './operation-metrics.ts'
import { processMetrics } from './process-metrics.ts'

/** What one scrape is answered with. */
export interface Exposition {
  readonly contentType: string
  readonly text: string
}

/** What one process has measured, as it may be told to another. */
export type Measured = readonly MetricObjectWithValues<MetricValue<string>>[]

/** Asks for what every process of this service has measured, this one included. */
export type Gather = () => Promise<readonly Measured[]>

export interface PrometheusOptions {
  /** counts by state, asked for at every scrape */
  readonly totals: () => Promise<Totals>
  /** how much is paused, as this process knows */
  readonly pauses?: () => number
  /** how long a scrape waits for them, ms */
  readonly withinMs?: number
  /** webhooks that this server is delivering, and how many it may deliver at a time */
  readonly deliveries?: () => { readonly inFlight: number; readonly capacity: number }
  /** absent where this process is the whole service */
  readonly gather?: Gather | undefined
}

/** A scraper times out after some seconds, and the other metrics are useful without these. */
const TOTALS_WITHIN_MS = 1_000

/** From normal milliseconds to the hour that a backlog may take, with the default READY_MAX_LATE_MS (60 s). */
const LATENESS_BUCKETS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 3_600,
]
/** A call times out after 1.2 s. */
const SCHEDULE_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]
/** Up to the largest CLAIM_BATCH. */
const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000]

/**
 * Measures in Prometheus's form, in a registry of their own, so that each server of a process has its own. Every series
 * is there from the start, with 0: a counter that appears with its first event hides that event from `rate()`.
 *
 * @returns `metrics` for the rooms to report to, and `expose`, which never rejects; while Redis does not answer it
 *   leaves out what only Redis knows, as an old count would look like a true one. `measured` is what this process has
 *   to tell where there are several: then `expose` answers for all of them, and once for what only Redis knows
 */
export function createMetrics({
  totals,
  pauses = () => 0,
  withinMs = TOTALS_WITHIN_MS,
  deliveries = () => ({ inFlight: 0, capacity: 0 }),
  gather,
}: PrometheusOptions): {
  readonly metrics: CountedMetrics
  expose(): Promise<Exposition>
  measured(): Promise<Measured>
} {
  const registry = new Registry()
  const metrics = recordInto(registry)
  watchDeliveries(registry, deliveries)
  const ofHere = Registry.merge([registry, processMetrics()])
  const ofAll = async () => (gather === undefined ? ofHere : sum(await gather()))
  return {
    metrics,
    async expose() {
      const [counted, measured] = await Promise.all([
        withTimeout(totals(), withinMs).then(
          (counted) => gaugesOf(counted, pauses()),
          () => new Registry(),
        ),
        ofAll(),
      ])
      const all = Registry.merge([measured, counted])
      return { contentType: all.contentType, text: await all.metrics() }
    },
    measured: () => ofHere.getMetricsAsJSON(),
  }
}

/** Gauges that are read at every scrape. */
function watchDeliveries(registry: Registry, deliveries: NonNullable<PrometheusOptions['deliveries']>): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name, help, registers: [registry] },
      collect() {
        this.set(read())
      },
    })
  gauge('carillon_deliveries_in_flight', 'Webhooks in flight', () => deliveries().inFlight)
  gauge('carillon_delivery_capacity', 'Webhooks that may be in flight', () => deliveries().capacity)
}

/** Sums; of what has no sum, such as a percentile, the mean, and of versions the first. */
const sum = (measured: readonly Measured[]): Registry => AggregatorRegistry.aggregate([...measured])

/** @returns the sum of both that only grows: counters and histograms of an ended process; its gauges are dropped */
export async function addTotals(one: Measured, other: Measured): Promise<Measured> {
  const both = await sum([one, other]).getMetricsAsJSON()
  // A registry answers the names of types, though it is declared to answer their numbers.
  return both.filter(({ type }) => GROWING.has(String(type)))
}

const GROWING: ReadonlySet<string> = new Set(['counter', 'histogram'])

/** What is counted without regard to lanes. */
export type CountedMetrics = ReturnType<typeof recordInto>

function recordInto(registry: Registry) {
  const registers = [registry]
  const counter = (name: string, help: string) => new Counter({ name, help, registers })
  const counterByDestination = (name: string, help: string) => {
    const counter = new Counter({ name, help, labelNames: ['destination'], registers })
    return forEachType((destination) => {
      counter.inc({ destination }, 0)
      return counter.labels({ destination })
    })
  }
  const lateness = new Histogram({
    name: 'carillon_lateness_seconds',
    help: 'Time from due to the start of the delivery',
    labelNames: ['destination'],
    buckets: LATENESS_BUCKETS,
    registers,
  })
  const latenessOf = forEachType((destination) => {
    lateness.zero({ destination })
    return lateness.labels({ destination })
  })
  const delivered = counterByDestination('carillon_delivered_total', 'Messages delivered')
  const failed = counterByDestination('carillon_failed_total', 'Failed deliveries')
  const retried = counterByDestination('carillon_retried_total', 'Failed deliveries that are retried')
  const cancelled = counter('carillon_cancelled_total', 'Messages that clients cancelled')
  const dead = counter('carillon_dead_total', 'Messages that became dead letters')
  const deadTrimmed = counter(
    'carillon_dead_trimmed_total',
    'Dead letters deleted because of DEAD_MAX or DEAD_TTL_MS',
  )
  const eventStreams = new Gauge({
    name: 'carillon_event_streams',
    help: 'Open streams of events',
    registers,
  })
  const eventsWritten = counter('carillon_events_written_total', 'Events written')
  const eventsDropped = counter(
    'carillon_events_dropped_total',
    'Events dropped because Redis took none or a client read too slowly',
  )
  const dataLost = counter('carillon_redis_data_lost_total', 'Times that Redis had lost its data')
  const recovered = counter('carillon_recovered_total', 'Expired claims that were recovered')
  const locksLost = counter(
    'carillon_locks_lost_total',
    'Claims whose lock was lost before they were settled',
  )
  const claimBatch = new Histogram({
    name: 'carillon_claim_batch_size',
    help: 'Messages per non-empty claim',
    buckets: BATCH_BUCKETS,
    registers,
  })
  const scheduled = counter('carillon_scheduled_total', 'Messages stored')
  const schedule = new Histogram({
    name: 'carillon_schedule_seconds',
    help: 'Duration of the calls that store new messages',
    buckets: SCHEDULE_BUCKETS,
    registers,
  })
  return {
    // A clock read a moment apart may say that it was early, and a sum that shrinks would look like a restart.
    deliveryStarted: (type, lateMs) => latenessOf[type]?.observe(Math.max(0, lateMs) / 1_000),
    delivered: (type, count) => delivered[type]?.inc(count),
    failed(type, then) {
      failed[type]?.inc()
      if (then === 'retried') retried[type]?.inc()
      else dead.inc()
    },
    cancelled: (count) => cancelled.inc(count),
    died: (count) => dead.inc(count),
    recovered: (count) => recovered.inc(count),
    locksLost: (count) => locksLost.inc(count),
    claimed: (count) => claimBatch.observe(count),
    scheduled(count, ms) {
      scheduled.inc(count)
      schedule.observe(ms / 1_000)
    },
    deadTrimmed: (count) => deadTrimmed.inc(count),
    ...operationMetrics(registers),
    eventStreams: (count) => eventStreams.set(count),
    eventsWritten: (count) => eventsWritten.inc(count),
    eventsDropped: (count) => eventsDropped.inc(count),
    dataLost: () => dataLost.inc(),
  } satisfies Omit<Metrics, 'ended'>
}

/** In a registry that lives for one scrape, so that no count outlives it. */
function gaugesOf(totals: Totals, pauses: number): Registry {
  const registry = new Registry()
  const registers = [registry]
  const messages = new Gauge({
    name: 'carillon_messages',
    help: 'Messages by state',
    labelNames: ['state'],
    registers,
  })
  for (const state of ['scheduled', 'claimed', 'dead'] as const) messages.set({ state }, totals[state])
  const overdue = new Gauge({
    name: 'carillon_oldest_overdue_seconds',
    help: 'Lateness of the longest overdue message that is neither claimed nor paused; 0 if there is none',
    registers,
  })
  overdue.set(totals.oldestOverdueMs / 1_000)
  new Gauge({ name: 'carillon_pauses', help: 'Pauses in force', registers }).set(pauses)
  const paused = new Gauge({ name: 'carillon_paused', help: 'Due messages that a pause holds', registers })
  paused.set(totals.paused)
  return registry
}

const forEachType = <T>(make: (type: DestinationType) => T): Readonly<Record<DestinationType, T>> =>
  Object.fromEntries(DESTINATIONS.map(({ type }) => [type, make(type)]))
