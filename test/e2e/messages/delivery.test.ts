import { describe, expect, it } from 'vitest'
import { postMany, repeated, startFleet } from '../../support/fleet.ts'
import type { Service } from '../../support/service.ts'
import { startProbe } from '../../support/speed.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

describe('a message', () => {
  it('comes at its time, once, and never before', async () => {
    const fleet = await startFleet({ size: 2 })
    const [server] = fleet.servers as [Service]
    const first = await server.soon(400)
    const ids = await postMany(fleet.servers, 400, (i) => first + i * 5)
    expect(ids).toHaveLength(400)
    await fleet.untilDelivered(ids)
    expect(repeated(fleet.delivered())).toEqual({})
    for (const { dueAt, seenAt, lateMs, attempt } of fleet.delivered()) {
      expect(seenAt).toBeGreaterThanOrEqual(dueAt)
      expect(lateMs).toBeGreaterThanOrEqual(0)
      expect(attempt).toBe(1)
    }
  })

  it('carries its text unchanged', async () => {
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    const texts = [
      'plain',
      '',
      'two\nlines',
      '"quotes" \\ and {json: true}',
      'ünï ☃ 🔔 \u2028',
      '\u0000 control',
      '\ud800 alone',
    ]
    const dueAt = await server.soon(texts.length)
    const answers = await Promise.all(texts.map((text) => server.post(dueAt, text)))
    await fleet.untilDelivered(answers.map((answer) => answer.body.id ?? ''))
    expect(new Set(fleet.delivered().map((line) => line.msg))).toEqual(new Set(texts))
  })

  it('is distinct from another with the same content', async () => {
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    const dueAt = await server.soon(3)
    const answers = await Promise.all(Array.from({ length: 3 }, () => server.post(dueAt, 'the same')))
    const ids = answers.map((answer) => answer.body.id ?? '')
    expect(new Set(ids).size).toBe(3)
    await fleet.untilDelivered(ids)
    expect(fleet.delivered().map((line) => line.msg)).toEqual(['the same', 'the same', 'the same'])
  })

  it('is neither early nor late where servers have wrong clocks', async () => {
    const fleet = await startFleet({ size: 0 })
    const fast = await fleet.add({ clockErrorMs: HOUR_MS })
    const slow = await fleet.add({ clockErrorMs: -HOUR_MS })
    const dueAt = await fast.soon(40)
    const ids = await postMany([fast, slow], 40, dueAt)
    expect(ids).toHaveLength(40)
    expect((await fast.post(Date.now() - 1, 'past')).status).toBe(400)
    expect((await slow.post(Date.now() - 1, 'past')).status).toBe(400)
    await fleet.untilDelivered(ids)
    for (const line of fleet.delivered()) {
      expect(line.seenAt).toBeGreaterThanOrEqual(dueAt)
      expect(line.lateMs).toBeLessThan(HOUR_MS / 2)
    }
  })

  it('may lie further away than any timer reaches', async () => {
    const fleet = await startFleet({ size: 1 })
    const [server] = fleet.servers as [Service]
    expect((await server.post(Date.now() + 60 * DAY_MS, 'in two months')).status).toBe(200)
    expect((await server.post('9999-12-31T23:59:59.999Z', 'at the end of time')).status).toBe(200)
    // A timer that overflowed would fire at once; a message due meanwhile shows the loop was not led astray.
    const soon = await server.post(await server.soon(), 'soon')
    await fleet.untilDelivered([soon.body.id ?? ''])
    expect(fleet.delivered().map((line) => line.msg)).toEqual(['soon'])
  })

  it('accepted by a server that delivers nothing is delivered by one that accepts nothing, on time', async () => {
    const fleet = await startFleet({ size: 0 })
    const api = await fleet.add({ env: { ROLES: 'api' } })
    const worker = await fleet.add({ env: { ROLES: 'worker' } })
    // The worker polls a second apart: one that was not told could not be on time for all of these.
    const probe = startProbe(
      () => api.get('/health'),
      () => worker.get('/health'),
    )
    const first = await api.soon(20)
    const ids = await postMany([api], 20, (i) => first + i * 137)
    await fleet.untilDelivered(ids)
    expect(worker.delivered).toHaveLength(20)
    const late = worker.delivered.map((line) => line.lateMs).sort((a, b) => a - b)
    // With the poll alone half of them would come half a second later than the machine takes.
    expect(late[10]).toBeLessThan(300 + 2 * probe.medianMs())
    expect((await worker.post(Date.now() + 1_000, 'x')).status).toBe(404)
  })
})

describe('four servers', () => {
  it('deliver thousands due at once exactly once, and all share the work', async () => {
    // Of many shards each has but a few batches, which one server might be quick enough to take alone.
    const fleet = await startFleet({ size: 4, env: { CLAIM_BATCH: '100' } })
    // Later than it takes to store them, as storing the first quarter tells.
    const from = performance.now()
    await fleet.schedule(2_000, Date.now() + HOUR_MS, { prefix: 'later' })
    const ids = await fleet.schedule(8_000, Date.now() + 500 + Math.ceil(16 * (performance.now() - from)))
    expect(fleet.delivered()).toHaveLength(0)
    await fleet.untilDelivered(ids)
    expect(fleet.delivered()).toHaveLength(8_000)
    expect(repeated(fleet.delivered())).toEqual({})
    for (const server of fleet.servers) expect(server.delivered.length).toBeGreaterThan(0)
  })
})
