import { expect, it } from 'vitest'
import { createCompanion } from '../../src/worker/companion.ts'
import { machineMs } from '../support/speed.ts'

/** @returns how long it was held, ms */
async function held(waiting: Promise<void>): Promise<number> {
  const from = performance.now()
  await waiting
  return machineMs(from)
}

it('holds back a few until the next claim is sent, and no longer', async () => {
  const companion = createCompanion()
  companion.expect(3)
  const order: string[] = []
  const waiting = companion.wait(1).then(() => order.push('acknowledged'))
  order.push('claimed')
  companion.sent()
  await waiting
  expect(order).toEqual(['claimed', 'acknowledged'])
})

it('holds nothing back for longer than some milliseconds, though no claim comes', async () => {
  const companion = createCompanion()
  companion.expect(2)
  expect(await held(companion.wait(1))).toBeLessThan(1_000)
})

it.each([
  ['many', 51, 2],
  ['what no claim is about to follow', 1, 1_000],
])('holds %s not back at all', async (_what, count, inMs) => {
  const companion = createCompanion()
  companion.expect(inMs)
  let done = false
  void companion.wait(count).then(() => {
    done = true
  })
  await Promise.resolve()
  await Promise.resolve()
  expect(done).toBe(true)
})
