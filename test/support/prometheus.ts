import { expect } from 'vitest'

const SAMPLE = /^([a-z_:][a-z0-9_:]*)(?:\{([^}]*)\})? (\S+)$/i

/**
 * Reads Prometheus's text form, version 0.0.4, as strictly as its own parser does where it matters: every line is a
 * comment or a sample, every sample's family was described before it, and no series occurs twice.
 *
 * @returns each sample's value by its name and labels as written, e.g. `carillon_messages{state="dead"}`
 */
export function readSamples(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const [, family = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (family !== '') {
      expect(types.has(family), `${family} is described twice`).toBe(false)
      types.set(family, type)
      continue
    }
    const [, name = '', , value = ''] = SAMPLE.exec(line) ?? []
    expect(name, `no sample: ${line}`).not.toBe('')
    const histogram = name.replace(/_(bucket|sum|count)$/, '')
    expect(types.has(name) || types.get(histogram) === 'histogram', `not described: ${line}`).toBe(true)
    const series = line.slice(0, line.lastIndexOf(' '))
    expect(samples.has(series), `occurs twice: ${series}`).toBe(false)
    samples.set(series, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
  }
  return samples
}
