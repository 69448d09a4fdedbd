import { expect, it, onTestFinished } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { hang, openReceiver } from '../../support/receiver.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

const COUNT = 10_000
/** In an order in which a machine that becomes busier or quieter meanwhile favours neither. */
const ROUNDS = ['alone', 'beside', 'beside', 'alone', 'alone', 'beside'] as const
const MOST_TIMES = 1.5

it('a host that never answers does not slow the messages of others', async () => {
  // Without its file: it is Carillon that is measured, and not the disk.
  const redis = await startRedis({ args: ['--appendonly', 'no'] })
  onTestFinished(() => redis.stop())
  const arrived = new Set<string>()
  const healthy = await openReceiver((response, { headers }) => {
    arrived.add(String(headers['webhook-id']))
    response.writeHead(204).end()
  })
  const hanging = await openReceiver(hang)

  /**
   * Lets a server find 10,000 messages that are due, beside as many for a host that never answers.
   * @returns ms from the first request of any to the last of the 10,000
   */
  const measure = async (round: (typeof ROUNDS)[number]): Promise<number> => {
    const fleet = await startFleet({ size: 0, redisUrl: redis.url, env: { WEBHOOK_ALLOW: '127.0.0.1' } })
    arrived.clear()
    const before = { healthy: healthy.requests.length, hanging: hanging.requests.length }
    const now = Date.now()
    const to = ({ url }: { url: string }) => ({ destination: { type: 'webhook', url } as const })
    // First in the line, where they would be in the way of all others.
    if (round === 'beside') await fleet.schedule(COUNT, now - 1, { ...to(hanging), prefix: 'hanging-' })
    await fleet.schedule(COUNT, now, { ...to(healthy), prefix: 'healthy-' })
    const server = await fleet.add()
    await until('all are delivered', () => arrived.size === COUNT)
    await server.end('SIGKILL')
    const sent = healthy.requests.slice(before.healthy)
    const hung = hanging.requests.slice(before.hanging)
    expect(hung.length > 0).toBe(round === 'beside')
    const firstAt = Math.min(...[hung[0], sent[0]].map((request) => request?.at ?? Number.POSITIVE_INFINITY))
    return (sent.at(-1)?.at ?? Number.NaN) - firstAt
  }

  const took = { alone: [] as number[], beside: [] as number[] }
  for (const round of ROUNDS) took[round].push(await measure(round))
  const inWords = `alone ${took.alone.map(Math.round)} ms, beside a host that hangs ${took.beside.map(Math.round)} ms`
  console.log(inWords)
  expect(median(took.beside), inWords).toBeLessThan(MOST_TIMES * median(took.alone))
})

const median = (of: readonly number[]): number =>
  [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN
