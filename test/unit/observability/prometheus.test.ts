import { describe, expect, it, vi } from 'vitest'
import { DESTINATIONS } from '../../../src/destinations/registry.ts'
import type { Totals } from '../../../src/observability/metrics.ts'
import { createMetrics } from '../../../src/observability/prometheus.ts'
import { readSamples } from '../../support/prometheus.ts'
import { until } from '../../support/until.ts'

const TYPES = DESTINATIONS.map(({ type }) => type)
const TOTALS: Totals = {
  scheduled: 12,
  claimed: 3,
  dead: 4,
  stranded: 0,
  paused: 6,
  oldestOverdueMs: 1_500,
  oldestLateMs: 700,
}
const ASKED_OF_REDIS = /^carillon_(messages|oldest_overdue_seconds|paused|pauses)/

const create = (totals: () => Promise<Totals> = async () => TOTALS, withinMs = 1_000) => {
  const { metrics, expose } = createMetrics({ totals, withinMs })
  return { metrics, expose, scrape: async () => readSamples((await expose()).text) }
}
const isOfProcess = (series: string) => /^(process|nodejs|carillon_event_loop)_/.test(series)

describe('a scrape', () => {
  it("is in Prometheus's text form", async () => {
    const { contentType } = await create().expose()
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  it('has every series from the start, and no other later, whatever happened', async () => {
    const { metrics, scrape } = create()
    const atStart = await scrape()
    for (const type of TYPES) {
      metrics.deliveryStarted(type, 7_300_000)
      metrics.delivered(type, 2)
      metrics.failed(type, 'retried')
      metrics.failed(type, 'dead')
    }
    metrics.died(1)
    metrics.recovered(1)
    metrics.locksLost(1)
    metrics.claimed(10_000)
    metrics.scheduled(5, 10_000)
    metrics.deadTrimmed(1)
    const later = await scrape()
    const ofUs = (samples: Map<string, number>) =>
      [...samples.keys()].filter((series) => !isOfProcess(series))
    expect(ofUs(later)).toEqual(ofUs(atStart))
    expect(new Set(ofUs(atStart).flatMap((each) => /destination="(.*?)"/.exec(each)?.[1] ?? []))).toEqual(
      new Set(TYPES),
    )
    const notZero = ofUs(atStart).filter((each) => !ASKED_OF_REDIS.test(each) && atStart.get(each) !== 0)
    expect(notZero).toEqual([])
  })

  it('has what is in flight now, of how much', async () => {
    let inFlight = 3
    const { expose } = createMetrics({
      totals: async () => TOTALS,
      deliveries: () => ({ inFlight, capacity: 256 }),
    })
    const of = async () => {
      const samples = readSamples((await expose()).text)
      return [samples.get('carillon_deliveries_in_flight'), samples.get('carillon_delivery_capacity')]
    }
    expect(await of()).toEqual([3, 256])
    inFlight = 0
    expect(await of()).toEqual([0, 256])
  })

  it('says how this process is', async () => {
    const samples = await create().scrape()
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
    for (const name of ['process_cpu_seconds_total', 'nodejs_eventloop_lag_p99_seconds'])
      expect(samples.has(name), name).toBe(true)
  })

  it('says how this process was before it was first asked', async () => {
    vi.resetModules() // this process is watched already for the tests before
    const fresh = await import('../../../src/observability/prometheus.ts')
    const { expose } = fresh.createMetrics({ totals: async () => TOTALS })
    await new Promise((resolve) => setTimeout(resolve, 300))
    const samples = readSamples((await expose()).text)
    expect(samples.get('carillon_event_loop_delay_seconds_count')).toBeGreaterThan(1)
  })

  it('says how late the event loop is: not at all when idle, and as long as it was held up', async () => {
    const { scrape } = create()
    const looksBelow = (samples: Map<string, number>, le: string) =>
      samples.get(`carillon_event_loop_delay_seconds_bucket{le="${le}"}`) ?? Number.NaN
    const idle = () => new Promise((resolve) => setTimeout(resolve, 300))
    const before = await scrape()
    let calm = before
    await until('it was idle for a while', async () => {
      calm = await scrape()
      return looksBelow(calm, '0.005') - looksBelow(before, '0.005') > 2
    })

    const freeAt = performance.now() + 300
    while (performance.now() < freeAt);
    await idle()
    const heldUp = await scrape()
    const late = (samples: Map<string, number>) => looksBelow(samples, '+Inf') - looksBelow(samples, '0.2')
    expect(late(heldUp) - late(calm)).toBeGreaterThanOrEqual(1)
  })
})

describe('lateness', () => {
  it('is counted by destination, in seconds', async () => {
    const { metrics, scrape } = create()
    for (const lateMs of [0, 1, 3, 3, 59_000, 61_000]) metrics.deliveryStarted('webhook', lateMs)
    metrics.deliveryStarted('pull', 250)
    const samples = await scrape()
    const upTo = (le: string) =>
      samples.get(`carillon_lateness_seconds_bucket{le="${le}",destination="webhook"}`)
    expect(['0.001', '0.002', '0.005', '30', '60', '120', '+Inf'].map(upTo)).toEqual([2, 2, 4, 4, 5, 6, 6])
    expect(samples.get('carillon_lateness_seconds_sum{destination="webhook"}')).toBeCloseTo(120.007, 6)
    expect(samples.get('carillon_lateness_seconds_sum{destination="pull"}')).toBe(0.25)
    expect(samples.get('carillon_lateness_seconds_count{destination="console"}')).toBe(0)
  })

  it('is never below 0, so that its sum never shrinks', async () => {
    const { metrics, scrape } = create()
    metrics.deliveryStarted('console', -2)
    const samples = await scrape()
    expect(samples.get('carillon_lateness_seconds_sum{destination="console"}')).toBe(0)
    expect(samples.get('carillon_lateness_seconds_count{destination="console"}')).toBe(1)
  })
})

describe('counts', () => {
  it('are kept by destination for deliveries', async () => {
    const { metrics, scrape } = create()
    metrics.delivered('console', 500)
    metrics.delivered('webhook', 1)
    metrics.failed('webhook', 'retried')
    metrics.failed('webhook', 'retried')
    metrics.failed('webhook', 'dead')
    metrics.died(3)
    const samples = await scrape()
    expect(samples.get('carillon_delivered_total{destination="console"}')).toBe(500)
    expect(samples.get('carillon_delivered_total{destination="webhook"}')).toBe(1)
    expect(samples.get('carillon_failed_total{destination="webhook"}')).toBe(3)
    expect(samples.get('carillon_retried_total{destination="webhook"}')).toBe(2)
    expect(samples.get('carillon_failed_total{destination="pull"}')).toBe(0)
    expect(samples.get('carillon_dead_total')).toBe(4)
  })

  it('add up for everything else', async () => {
    const { metrics, scrape } = create()
    for (const count of [2, 3]) {
      metrics.recovered(count)
      metrics.locksLost(count * 10)
      metrics.deadTrimmed(count * 100)
    }
    const samples = await scrape()
    expect(samples.get('carillon_recovered_total')).toBe(5)
    expect(samples.get('carillon_locks_lost_total')).toBe(50)
    expect(samples.get('carillon_dead_trimmed_total')).toBe(500)
  })

  it('are kept by size and by time for claims and schedule calls', async () => {
    const { metrics, scrape } = create()
    for (const count of [1, 400, 500]) metrics.claimed(count)
    metrics.scheduled(64, 3)
    metrics.scheduled(1, 300)
    const samples = await scrape()
    expect(samples.get('carillon_claim_batch_size_bucket{le="1"}')).toBe(1)
    expect(samples.get('carillon_claim_batch_size_bucket{le="500"}')).toBe(3)
    expect(samples.get('carillon_claim_batch_size_sum')).toBe(901)
    expect(samples.get('carillon_scheduled_total')).toBe(65)
    expect(samples.get('carillon_schedule_seconds_bucket{le="0.005"}')).toBe(1)
    expect(samples.get('carillon_schedule_seconds_count')).toBe(2)
    expect(samples.get('carillon_schedule_seconds_sum')).toBeCloseTo(0.303, 6)
  })

  it('are separate for two servers in the same process', async () => {
    const [one, other] = [create(), create()]
    one.metrics.delivered('console', 7)
    expect((await one.scrape()).get('carillon_delivered_total{destination="console"}')).toBe(7)
    expect((await other.scrape()).get('carillon_delivered_total{destination="console"}')).toBe(0)
  })
})

describe('what only Redis knows', () => {
  it('is asked for at every scrape', async () => {
    let now = TOTALS
    const { scrape } = create(async () => now)
    const first = await scrape()
    expect(
      ['scheduled', 'claimed', 'dead'].map((state) => first.get(`carillon_messages{state="${state}"}`)),
    ).toEqual([12, 3, 4])
    expect(first.get('carillon_oldest_overdue_seconds')).toBe(1.5)
    expect(first.get('carillon_paused')).toBe(6)
    now = { scheduled: 0, claimed: 0, dead: 0, stranded: 0, paused: 0, oldestOverdueMs: 0, oldestLateMs: 0 }
    const second = await scrape()
    expect(second.get('carillon_messages{state="scheduled"}')).toBe(0)
    expect(second.get('carillon_oldest_overdue_seconds')).toBe(0)
  })

  it.each([
    ['refuses', () => Promise.reject(new Error('away')), 1_000],
    ['does not answer', () => new Promise<never>(() => undefined), 50],
  ])(
    'is left out, rather than old, while Redis %s; everything else is there',
    async (_what, away, withinMs) => {
      let totals: () => Promise<Totals> = async () => TOTALS
      const { metrics, scrape } = create(() => totals(), withinMs)
      metrics.delivered('console', 1)
      const before = [...(await scrape()).keys()]
      totals = away
      const samples = await scrape()
      expect([...samples.keys()].filter((series) => ASKED_OF_REDIS.test(series))).toEqual([])
      expect(samples.get('carillon_delivered_total{destination="console"}')).toBe(1)
      const missing = before.filter((series) => !isOfProcess(series) && !samples.has(series))
      expect(missing.every((series) => ASKED_OF_REDIS.test(series))).toBe(true)
      totals = async () => TOTALS
      expect((await scrape()).get('carillon_messages{state="dead"}')).toBe(4)
    },
  )
})
