import { describe, expect, it } from 'vitest'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { type Clock, clock, clockNow, create, DAY_MS, startWithClock } from '../../support/test-clock.ts'
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

  it('delivers in order of time, each attempt at its own millisecond', async () => {
    const COUNT = 60
    const seen = new Map<string, number>()
    const order: string[] = []
    const receiver = await openReceiver((response, request, socket) => {
      const { id } = JSON.parse(request.body) as { id: number }
      const attempt = (seen.get(request.body) ?? 0) + 1
      seen.set(request.body, attempt)
      order.push(`${id} ${attempt}`)
      answerWith(id % 3 === 0 && attempt <= 2 ? 503 : 204)(response, request, socket)
    })
    const fleet = await startWithClock()
    const [server] = fleet.servers as [Service]
    const { now } = await clock(server, 'freeze')
    const destination = { type: 'webhook', url: receiver.url }
    const retry = { attempts: 3, minMs: 60_000, factor: 2, jitter: 'none' }
    const expected: [number, string][] = []
    for (let id = 0; id < COUNT; id += 1) {
      // Scattered, and no two at a time.
      const at = Date.parse(now) + 1_000 + ((id * 7_919) % COUNT) * 4_320_000 + id
      await create(server, { id: `m${id}`, at, payload: { id }, destination, retry })
      expected.push([at, `${id} 1`])
      if (id % 3 === 0) expected.push([at + 60_000, `${id} 2`], [at + 180_000, `${id} 3`])
    }
    expected.sort(([a], [b]) => a - b)
    const { messages, steps } = await clock(server, 'advance', { by: '4d' })
    expect(order).toEqual(expected.map(([, name]) => name))
    expect(messages.map(({ at }) => Date.parse(at))).toEqual(expected.map(([at]) => at))
    expect(steps).toBe(expected.length)
  })

  it('takes along what receivers schedule meanwhile', async () => {
    const LENGTH = 30
    const times: number[] = []
    let server: Service | undefined
    const receiver = await openReceiver(async (response, request, socket) => {
      const next = Number(request.body) + 1
      times.push(Date.parse(String(request.headers['carillon-scheduled-for'])))
      if (next < LENGTH && server !== undefined) await createLink(server, next)
      answerWith(204)(response, request, socket)
    })
    const createLink = (to: Service, link: number) =>
      create(to, {
        ...{ id: `link${link}`, delay: '1d', payload: link },
        destination: { type: 'webhook', url: receiver.url },
      })
    const fleet = await startWithClock()
    server = fleet.servers[0] as Service
    const { now } = await clock(server, 'freeze')
    await createLink(server, 0)
    expect(await clock(server, 'advance', { by: '31d' })).toMatchObject({ delivered: LENGTH, pending: 0 })
    expect(times).toEqual(Array.from({ length: LENGTH }, (_, i) => Date.parse(now) + (i + 1) * DAY_MS))
  })

  it('ends right when another server dies in the middle', async () => {
    const fleet = await startWithClock(1)
    const [survivor] = fleet.servers as [Service]
    const victim = await fleet.add()
    const receiver = await openReceiver((response, request, socket) => {
      if (request.body === '1' && !victim.hasEnded()) victim.signal('SIGKILL')
      answerWith(204)(response, request, socket)
    })
    await clock(survivor, 'freeze')
    for (let i = 0; i < 10; i += 1)
      await create(survivor, {
        ...{ id: `m${i}`, delay: `${i + 1}h`, payload: i },
        destination: { type: 'webhook', url: receiver.url },
      })
    const advanced = await clock(survivor, 'advance', { by: '1d', timeoutMs: 200_000 })
    expect(advanced).toMatchObject({ delivered: 10, pending: 0, mode: 'frozen', stoppedBecause: 'target' })
    const names = advanced.messages.filter(({ outcome }) => outcome === 'delivered').map(({ id }) => id)
    expect(new Set(names).size).toBe(10)
  })

  it('leaves a clock that others advance when its own server dies', async () => {
    const fleet = await startWithClock(2)
    const [victim, survivor] = fleet.servers as [Service, Service]
    const receiver = await openReceiver((response, request, socket) => {
      if (request.body === '1' && !victim.hasEnded()) victim.signal('SIGKILL')
      answerWith(204)(response, request, socket)
    })
    const { now } = await clock(victim, 'freeze')
    for (let i = 0; i < 4; i += 1)
      await create(victim, {
        ...{ id: `m${i}`, delay: `${i + 1}h`, payload: i },
        destination: { type: 'webhook', url: receiver.url },
      })
    await expect(victim.call('POST', '/v1/clock/advance', { by: '1d' })).rejects.toThrow()
    await until('the act has ended', async () => !(await survivor.call<Clock>('GET', '/v1/clock')).body.busy)
    expect(await clockNow(survivor)).toBe(Date.parse(now) + 2 * 3_600_000)
    await clock(survivor, 'advance', { by: '1d', timeoutMs: 200_000 })
    expect(await clockNow(survivor)).toBe(Date.parse(now) + 2 * 3_600_000 + DAY_MS)
    expect([...new Set(receiver.requests.map(({ body }) => body))]).toEqual(['0', '1', '2', '3'])
  })
})
