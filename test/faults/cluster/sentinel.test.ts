import { describe, expect, it, onTestFinished } from 'vitest'
import { early, type Fleet, repeated, startFleet } from '../../support/fleet.ts'
import { type Load, startLoad, strangeAnswers } from '../../support/load.ts'
import type { TestRedis } from '../../support/redis.ts'
import { startSentinels, type TestSentinels } from '../../support/sentinels.ts'
import { type Probe, startProbe } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** What a master had acknowledged for so long is on its replica too. */
const REPLICATED_AFTER_MS = 1_000

async function start(): Promise<{ sentinels: TestSentinels; fleet: Fleet; load: Load; probe: Probe }> {
  const sentinels = await startSentinels()
  const fleet = await startFleet({ size: 2, redisUrl: sentinels.url })
  onTestFinished(() => sentinels.stop())
  const probe = startProbe(...fleet.servers.map((server) => () => server.get('/live')))
  const load = startLoad(() => fleet.servers, 3_000)
  await load.untilAccepted(300)
  return { sentinels, fleet, load, probe }
}

/**
 * Ends the load and holds what became of it against the promises, where Redis lost what was not replicated at `lostAt`.
 */
async function expectKept(fleet: Fleet, load: Load, probe: Probe, lostAt: number): Promise<void> {
  const replicatedAfterMs = REPLICATED_AFTER_MS + 4 * probe.slowestMs()
  await load.stop()
  expect(strangeAnswers(load)).toEqual([])
  const isSafe = ({ answeredAt, sentAt }: { answeredAt: number; sentAt: number }) =>
    answeredAt < lostAt - replicatedAfterMs || sentAt > lostAt
  const safe = load.accepted().filter(isSafe)
  await fleet.untilDelivered(safe.map(({ id }) => id))
  const lines = fleet.delivered()
  expect(early(lines)).toEqual([])
  // Twice only what was being delivered just then, as that it was may have been lost.
  for (const id of Object.keys(repeated(lines))) {
    const first = lines.find(({ messageId }) => messageId === id)
    expect(first?.seenAt).toBeGreaterThan(lostAt - replicatedAfterMs)
    expect(first?.seenAt).toBeLessThan(lostAt + replicatedAfterMs)
  }
}

const portOf = (node: TestRedis) => node.port

describe('a master with sentinels', () => {
  it('is replaced when it is killed under load, and service goes on by itself', async () => {
    const { sentinels, fleet, load, probe } = await start()
    const [master, replica] = sentinels.nodes
    const killedAt = Date.now()
    await master.kill()
    await until('the replica is the master', async () => (await sentinels.masterPort()) === replica.port)
    await load.untilAccepted(300)
    // The old one comes back and says for a while that it is a master, too.
    await master.start()
    await load.untilAccepted(100)
    await expectKept(fleet, load, probe, killedAt)
    expect(fleet.servers.every((server) => !server.hasEnded())).toBe(true)
  })

  it('takes nothing more when it is made a replica under load, and nothing is lost', async () => {
    const { sentinels, fleet, load, probe } = await start()
    const before = sentinels.nodes.map(portOf)
    const from = Date.now()
    await sentinels.failover()
    expect(before).toContain(await sentinels.masterPort())
    await load.untilAccepted(300)
    await expectKept(fleet, load, probe, from)
  })
})
