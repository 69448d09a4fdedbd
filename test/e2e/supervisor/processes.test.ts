import { describe, expect, it } from 'vitest'
import { repeated, startFleet } from '../../support/fleet.ts'
import { childrenOf, isRunning } from '../../support/processes.ts'
import { freePort } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import {
  countOf,
  HUNG_MS,
  leftOf,
  requestStatus,
  said,
  scheduleLarge,
  startSupervisor,
} from '../../support/supervisor.ts'
import { until } from '../../support/until.ts'

describe('several processes behind one port', () => {
  it('share its connections', async () => {
    const env = { PROCESSES: '3', RATE_LIMIT_PER_MINUTE: '1' }
    const [service] = (await startFleet({ size: 1, env })).servers as [Service]
    const ask = () => requestStatus(`${service.url}/v1/messages/none`)
    // Each counts for itself, and so lets one in.
    let letIn = 0
    await until('three have let one in', async () => {
      if ((await ask()) === 404) letIn += 1
      return letIn === 3
    })
    for (let i = 0; i < 6; i += 1) expect(await ask()).toBe(429)
  })

  it('say what there is to say at a start once', async () => {
    const { service } = await startSupervisor(3)
    for (const line of [/^listening on http:/, /^API_KEYS is not/, /^WEBHOOK_SECRETS is not/])
      expect(said(service, line).length, String(line)).toBe(1)
  })

  it('deliver each message once, and tear no line, however long', async () => {
    const { fleet, service } = await startSupervisor(3)
    const ids = await scheduleLarge(fleet, 3_000, 2_000) // a torn line is no JSON, which ends the test
    await fleet.untilDelivered(ids)
    await until('nothing is left', async () => (await leftOf(fleet)) === 0)
    expect(service.delivered.length).toBe(ids.length)
    expect(new Set(service.delivered.map(({ attempt }) => attempt))).toEqual(new Set([1]))
  })

  it('are measured together, and what Redis knows is counted once', async () => {
    const { fleet, service } = await startSupervisor(3, { LOCK_TTL_MS: '30000' })
    await fleet.schedule(5, Date.now() + 600_000, { prefix: 'later' })
    let accepted = 0
    // One that has more to do than it can turns some away, which may happen on a busy machine.
    for (let i = 0; i < 9; i += 1)
      if ((await requestStatus(`${service.url}/v1/messages`, { payload: i })) === 201) accepted += 1
    expect(accepted).toBeGreaterThan(3)
    const sum = 'carillon_delivered_total{destination="console"}'
    await expect.poll(async () => (await service.metrics()).get(sum)).toBe(accepted)
    const samples = await service.metrics()
    expect(samples.get('carillon_scheduled_total')).toBe(accepted)
    expect(samples.get('carillon_lateness_seconds_count{destination="console"}')).toBe(accepted)
    expect(samples.get('carillon_messages{state="scheduled"}')).toBe(5)
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(3 * 30_000_000)

    // No total may shrink when a process dies, or it would look as if all of it had happened anew.
    for (const pid of childrenOf(service.pid)) process.kill(pid, 'SIGKILL')
    await until('others are there', () => childrenOf(service.pid).length === 3)
    await until('one answers', () => service.metrics().then(Boolean, () => false))
    expect((await service.metrics()).get(sum)).toBe(accepted)
  })
})

describe('one of several processes', () => {
  it('costs only a second attempt when it is killed while delivering, and is replaced', async () => {
    const { fleet, service } = await startSupervisor(3, { CLAIM_BATCH: '20' })
    const before = childrenOf(service.pid)
    const [victim = 0] = before
    const scheduling = scheduleLarge(fleet, 2_000, 3_000)
    await until('they are delivering', () => service.delivered.length > 300)
    process.kill(victim, 'SIGKILL')
    await until('another is forked', () => {
      const now = childrenOf(service.pid)
      return now.length === 3 && !now.includes(victim)
    })
    expect(await requestStatus(`${service.url}/live`)).toBe(200)
    await fleet.untilDelivered(await scheduling)
    const again = Object.keys(repeated(service.delivered))
    expect(again.length).toBeLessThanOrEqual(3 * 20)
    const lines = said(
      service,
      new RegExp(`^server process ${victim} ended \\(SIGKILL\\); starting another$`),
    )
    expect(lines.length).toBe(1)
    await until('it is at work', async () => (await countOf(service)) >= 3)
  })

  it('leaves no request without an end when it is killed', async () => {
    const { service } = await startSupervisor(3)
    let asking = true
    const ends: string[] = []
    const client = async () => {
      while (asking) {
        const from = performance.now()
        const end = await requestStatus(`${service.url}/live`).then(
          String,
          ({ code }: { code?: string }) => code ?? '?',
        )
        ends.push(performance.now() - from < HUNG_MS - 100 ? end : `${end}, hung`)
      }
    }
    const clients = Promise.all(Array.from({ length: 16 }, client))
    for (let round = 0; round < 4; round += 1) {
      const before = childrenOf(service.pid)
      process.kill(before[0] ?? 0, 'SIGKILL')
      await until('another is forked', () => {
        const now = childrenOf(service.pid)
        return now.length === 3 && !now.includes(before[0] ?? 0)
      })
    }
    await until('enough were asked', () => ends.length > 100)
    asking = false
    await clients
    expect(ends.filter((end) => end.includes('hung') || end.includes('ABORT'))).toEqual([])
  })

  it('finishes its work and repeats nothing when it is told to stop, and is replaced', async () => {
    // With port 0, one that is slow to listen would find nobody to share the port with, and end by itself.
    const PORT = String(await freePort())
    const { fleet, service } = await startSupervisor(2, { LOCK_TTL_MS: '30000', PORT })
    const [stopped = 0] = childrenOf(service.pid)
    const start = Date.now()
    const ids = await fleet.schedule(2_000, (i) => start + i)
    await until('they are delivering', () => service.delivered.length > 200)
    process.kill(stopped, 'SIGTERM')
    await until('it has ended', () => !isRunning(stopped))
    await fleet.untilDelivered(ids)
    expect(repeated(service.delivered)).toEqual({})
    expect(said(service, /ended \(exit code 0\)/).length).toBe(1)
    await until('another is there', () => childrenOf(service.pid).length === 2)
  })

  it('keeps the picked port though each is killed after the other', async () => {
    const { fleet, service } = await startSupervisor(2)
    for (let round = 0; round < 2; round += 1) {
      for (const pid of childrenOf(service.pid)) process.kill(pid, 'SIGKILL')
      await until('it answers again', () => requestStatus(`${service.url}/health`).then(Boolean, () => false))
    }
    await fleet.untilDelivered(await fleet.schedule(10, Date.now(), { prefix: 'after' }))
    // What dies young again and again is given a little time.
    expect(said(service, /; starting another in 100 ms$/).length).toBeGreaterThan(0)
  })
})
