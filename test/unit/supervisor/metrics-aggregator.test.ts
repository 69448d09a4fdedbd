import { Counter, Gauge, Registry } from 'prom-client'
import { expect, it } from 'vitest'
import type { Measured } from '../../../src/observability/prometheus.ts'
import { createMetricsAggregator } from '../../../src/supervisor/metrics-aggregator.ts'

async function measured(events: number, level: number): Promise<Measured> {
  const registry = new Registry()
  const registers = [registry]
  new Counter({ name: 'events_total', help: 'Events', registers }).inc(events)
  new Gauge({ name: 'level', help: 'Level', registers }).set(level)
  return registry.getMetricsAsJSON()
}

const sumOf = (all: readonly Measured[], name: string) =>
  all
    .flat()
    .filter((metric) => metric.name === name)
    .flatMap(({ values }) => values)
    .reduce((sum, { value }) => sum + value, 0)

it('asks everyone, and brings together what they answer', async () => {
  const gathering = createMetricsAggregator(10_000)
  for (const server of [1, 2])
    gathering.join(server, async (id) => gathering.answer(server, id, await measured(server, 10)))
  const all = await gathering.gather()
  expect(sumOf(all, 'events_total')).toBe(3)
  expect(sumOf(all, 'level')).toBe(20)
})

it('answers with nothing where nobody is', async () => {
  expect((await createMetricsAggregator(10_000).gather()).flat()).toEqual([])
})

it('takes what one who does not answer in time said last', async () => {
  const gathering = createMetricsAggregator(50)
  let hangs = false
  gathering.join(1, async (id) => gathering.answer(1, id, await measured(1, 0)))
  gathering.join(2, async (id) => hangs || gathering.answer(2, id, await measured(5, 0)))
  await gathering.gather()
  hangs = true
  expect(sumOf(await gathering.gather(), 'events_total')).toBe(6)
})

it('keeps the totals of those who are gone, whatever is asked meanwhile, and nothing else of them', async () => {
  const gathering = createMetricsAggregator(10_000)
  for (const server of [1, 2, 3])
    gathering.join(server, async (id) => gathering.answer(server, id, await measured(10 ** server, 1)))
  expect(sumOf(await gathering.gather(), 'events_total')).toBe(1_110)
  gathering.leave(1)
  gathering.leave(2)
  expect(sumOf(await gathering.gather(), 'events_total')).toBe(1_110)
  const all = await gathering.gather()
  expect(sumOf(all, 'events_total')).toBe(1_110)
  expect(sumOf(all, 'level')).toBe(1)
})

it('waits no longer for one who goes while it is asked', async () => {
  const gathering = createMetricsAggregator(60_000)
  gathering.join(1, () => undefined)
  const gathered = gathering.gather()
  gathering.leave(1)
  await gathered
})
