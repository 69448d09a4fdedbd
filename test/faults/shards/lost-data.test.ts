import { expect, it, onTestFinished } from 'vitest'
import { startFaultyProxy } from '../../support/faulty-proxy.ts'
import { startFleet } from '../../support/fleet.ts'
import { startCluster, startRedis, type TestRedis } from '../../support/redis.ts'
import { startSentinels } from '../../support/sentinels.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const LOST = 'carillon_redis_data_lost_total'

const said = ({ log }: Service) =>
  log.filter(({ msg }) => String(msg).startsWith('Redis has lost its data')).map(({ level }) => level)

async function startOwn(): Promise<TestRedis> {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  return redis
}

async function expectToldAndServed(servers: readonly Service[], deliver: () => Promise<void>): Promise<void> {
  await until('all say so', () => servers.every((server) => said(server).length > 0))
  await deliver()
  for (const server of servers) {
    expect(said(server)).toEqual([50])
    expect((await server.metrics()).get(LOST)).toBe(1)
    expect((await server.get('/health')).status).toBe(200)
  }
}

it('a Redis that is emptied is told of in one line, counted, and served on', async () => {
  const redis = await startOwn()
  const fleet = await startFleet({ size: 2, redisUrl: redis.url })
  const [server] = fleet.servers as [Service]
  expect((await server.metrics()).get(LOST)).toBe(0)
  await redis.client.flushall()
  await expectToldAndServed(fleet.servers, async () => {
    const { status, body } = await server.call('POST', '/v1/messages', { delay: 0, payload: 1 })
    expect(status).toBe(201)
    await fleet.untilDelivered([body.id])
  })
})

it('another Redis behind the same name is told of, too', async () => {
  const [one, other] = [await startOwn(), await startOwn()]
  let behind = one
  const proxy = await startFaultyProxy(() => behind.port)
  onTestFinished(() => proxy.stop())
  const fleet = await startFleet({ size: 1, redisUrl: `redis://127.0.0.1:${proxy.port}` })
  const [server] = fleet.servers as [Service]
  behind = other
  proxy.cut()
  await expectToldAndServed(fleet.servers, async () => {
    const { body } = await server.call('POST', '/v1/messages', { delay: 0, payload: 1 })
    await fleet.untilDelivered([body.id])
  })
})

it('a failover to a replica that holds nothing is told of, too', async () => {
  const sentinels = await startSentinels()
  onTestFinished(() => sentinels.stop())
  const fleet = await startFleet({ size: 2, redisUrl: sentinels.url })
  const [server] = fleet.servers as [Service]
  const [master, replica] = sentinels.nodes
  await replica.client.config('SET', 'replica-read-only', 'no')
  await replica.client.flushall()
  await master.kill()
  await expectToldAndServed(fleet.servers, async () => {
    const post = () => server.call('POST', '/v1/messages', { id: 'new', delay: 0, payload: 1 })
    await until('it is taken', async () => [200, 201].includes((await post()).status))
    await fleet.untilDelivered(['new'])
  })
})

it('a restart, and a master of a cluster that is away, are no loss', async () => {
  const redis = await startOwn()
  const cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no'] })
  onTestFinished(() => cluster.stop())
  const fleet = await startFleet({ size: 1, redisUrl: redis.url })
  const ofCluster = await startFleet({
    ...{ size: 1, redisUrl: cluster.url, env: { SHARDS: '3' } },
    // The test's own connection to the master that was killed may not be back yet.
    audited: false,
  })
  await redis.kill()
  await redis.start()
  const master = await cluster.masterOf(`${ofCluster.namespace}:shards`)
  await master.kill()
  await master.start()
  const servers = [...fleet.servers, ...ofCluster.servers]
  await until('all are well again', async () => {
    const answers = await Promise.all(servers.map((server) => server.call('GET', '/v1/stats')))
    return answers.every(({ status }) => status === 200)
  })
  // Each looks again once Redis is back, and says so then.
  await until('the single one is back', () =>
    fleet.servers.every(({ log }) => log.some(({ msg }) => msg === 'Redis is back')),
  )
  for (const server of servers) {
    expect(said(server)).toEqual([])
    expect((await server.metrics()).get(LOST)).toBe(0)
  }
})
