import { describe, expect, it } from 'vitest'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { clock, clockNow, create, DAY_MS, startWithClock } from '../../support/test-clock.ts'
import { until } from '../../support/until.ts'

describe('an advance of the test clock', () => {
  it('delivers what is due in three days at its own time', async () => {
    const fleet = await startWithClock()
    const [server] = fleet.servers as [Service]
    const { now } = await clock(server, 'freeze')
    const at = new Date(Date.parse(now) + 2 * DAY_MS).toISOString()
    await create(server, { id: 'reminder', at, payload: 'in two days' })
    const advanced = await clock(server, 'advance', { by: '3d' })
    expect(advanced).toMatchObject({
      ...{ from: now, to: new Date(Date.parse(now) + 3 * DAY_MS).toISOString(), mode: 'frozen', busy: false },
      ...{ delivered: 1, failed: 0, messages: [{ id: 'reminder', at, outcome: 'delivered' }] },
      ...{ stoppedBecause: 'target', pending: 0, nextDueAt: null },
    })
    await until('it is on the console', () => server.delivered.length === 1)
    expect(server.delivered).toMatchObject([{ messageId: 'reminder', lateMs: 0, msg: 'in two days' }])
    expect(await clockNow(server)).toBe(Date.parse(advanced.to))
  })

  it('repeats what fails at the times of its back-off', async () => {
    let failures = 0
    const receiver = await openReceiver((response, ...rest) => {
      failures += 1
      answerWith(failures <= 2 ? 503 : 204)(response, ...rest)
    })
    const fleet = await startWithClock()
    const [server] = fleet.servers as [Service]
    const { now } = await clock(server, 'freeze')
    const dueAt = Date.parse(now) + DAY_MS
    await create(server, {
      ...{ id: 'late', at: dueAt, destination: { type: 'webhook', url: receiver.url } },
      retry: { attempts: 5, minMs: 1_000, factor: 2, jitter: 'none' },
    })
    const { messages, steps, failed, delivered } = await clock(server, 'advance', { by: '2d' })
    const timesAfter = messages.map(({ at, outcome }) => [Date.parse(at) - dueAt, outcome])
    expect(timesAfter).toEqual([
      [0, 'failed'],
      [1_000, 'failed'],
      [3_000, 'delivered'],
    ])
    expect({ steps, failed, delivered }).toEqual({ steps: 3, failed: 2, delivered: 1 })
    expect(receiver.requests.map(({ headers }) => headers['carillon-late-ms'])).toEqual(['0', '1000', '3000'])
  })
})
