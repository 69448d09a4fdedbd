import { Redis } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import { listen } from '../../support/event-stream.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

describe('a server to whose events nobody listens', () => {
  it('sends Redis no command for them, until there is a listener', async () => {
    const redis = await startRedis()
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const [server] = fleet.servers
    if (server === undefined) throw new Error('one server')
    const connection = new Redis(redis.url, { protocol: 2 })
    const monitor = await connection.monitor()
    onTestFinished(() => {
      monitor.disconnect()
      connection.disconnect()
    })
    const commands: string[] = []
    monitor.on('monitor', (_time: string, args: string[]) => void commands.push(args.join(' ')))
    const ofEvents = () =>
      commands.filter(
        (command) =>
          command.includes(`${fleet.namespace}:events`) || / events (wanted|written)/.test(command),
      )

    await server.call('POST', '/v1/messages', { id: 'a', payload: 1 })
    await fleet.untilDelivered(['a'])
    await until('the monitor has seen it', () =>
      commands.some((command) => command.includes('delivered_messages')),
    )
    // Two heartbeats, at which it may look for what it has not heard of.
    const beats = () =>
      commands.filter((command) => /^hset /i.test(command) && command.includes(':servers')).length
    const before = beats()
    await until('it has sent heartbeats', () => beats() >= before + 2)
    expect(ofEvents()).toEqual([])

    const { came } = await listen(server.url)
    await server.call('POST', '/v1/messages', { id: 'b', payload: 1 })
    await came(1, 'delivered')
    expect(ofEvents()).not.toEqual([])
  })
})

describe('a stream whose Redis goes away', () => {
  it('stays open, and continues when it is back', async () => {
    const redis = await startRedis()
    const fleet = await startFleet({ size: 2, redisUrl: redis.url })
    const [first, second] = fleet.servers
    if (first === undefined || second === undefined) throw new Error('two servers')
    const stream = await listen(first.url, { query: '?detail=all' })
    await second.call('POST', '/v1/messages', { id: 'before', delay: '1h', payload: 1 })
    await stream.came(1, 'scheduled')
    await redis.kill()
    await until('it is noticed', async () => (await first.get('/health')).status === 503)
    const meanwhile = await listen(second.url, { query: '?detail=all' })
    expect([meanwhile.status, meanwhile.comments]).toEqual([200, [': Redis does not answer']])
    await redis.start()
    for (const server of fleet.servers)
      await until('it is back', async () => (await server.get('/health')).status === 200)
    for (const server of fleet.servers)
      expect((await server.call('POST', '/v1/messages', { delay: '1h', payload: 1 })).status).toBe(201)
    await stream.came(3, 'scheduled')
    expect([stream.hasEnded(), stream.of('gap')]).toEqual([false, []])
    await until('the other continues, too', () => meanwhile.lastId() !== '')
    await first.call('POST', '/v1/messages', { id: 'after', delay: '1h', payload: 1 })
    await until('it is told', () => meanwhile.of('scheduled').some(({ data }) => data.id === 'after'))
  })
})

describe('a server that has not heard of a listener elsewhere', () => {
  it('learns of it from a heartbeat', async () => {
    const redis = await startRedis()
    const fleet = await startFleet({ size: 1, redisUrl: redis.url })
    const stream = await listen(fleet.servers[0]?.url ?? '')
    const late = await fleet.add()
    let posted = 0
    await until('it tells what happens', async () => {
      posted += 1
      await late.call('POST', '/v1/messages', { id: `late-${posted}`, delay: '1h', payload: 1 })
      return stream.of('scheduled').length > 0
    })
    expect(stream.of('scheduled')[0]?.data.id).toMatch(/^late-/)
  })
})
