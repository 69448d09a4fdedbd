import { describe, expect, it, onTestFinished } from 'vitest'
import { repeated, startFleet } from '../../support/fleet.ts'
import { childrenOf, isRunning } from '../../support/processes.ts'
import { startRedis } from '../../support/redis.ts'
import { refusedStart, type Service } from '../../support/service.ts'
import { leftOf, requestStatus, said, scheduleLarge, startSupervisor } from '../../support/supervisor.ts'
import { until } from '../../support/until.ts'

describe('the end of several processes', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s stops all in order: 0, and nothing is lost', async (signal) => {
    const { fleet, service } = await startSupervisor(3, { LOCK_TTL_MS: '30000' })
    const children = childrenOf(service.pid)
    const start = Date.now()
    const ids = await fleet.schedule(3_000, (i) => start + i)
    await until('they are delivering', () => service.delivered.length > 300)
    // As a terminal's Ctrl-C does, which every process has.
    if (signal === 'SIGINT') for (const pid of children) process.kill(pid, signal)
    expect(await service.end(signal)).toBe(0)
    expect(children.filter(isRunning)).toEqual([])
    expect(service.stderr()).toBe('')
    expect(said(service, /server process/)).toEqual([])
    await fleet.add()
    await fleet.untilDelivered(ids)
    expect(repeated(fleet.delivered())).toEqual({})
  })

  it('comes at once with a second signal: 1', async () => {
    const { fleet, service } = await startSupervisor(2, {
      SHUTDOWN_GRACE_MS: '600000',
      LOCK_TTL_MS: '600000',
    })
    const children = childrenOf(service.pid)
    service.stopReading()
    await scheduleLarge(fleet, 500, 0)
    await until('a write hangs', async () => (await leftOf(fleet)) > 0)
    service.signal('SIGTERM')
    await until('none comes in any more', () =>
      requestStatus(`${service.url}/live`).then(
        () => false,
        () => true,
      ),
    )
    expect(service.hasEnded()).toBe(false)
    service.signal('SIGTERM')
    service.readOn()
    expect(await service.end('SIGTERM')).toBe(1)
    await until('none is left', () => !children.some(isRunning))
  })

  it('comes by itself when the first of them is killed', async () => {
    const { fleet, service } = await startSupervisor(3)
    const children = childrenOf(service.pid)
    await scheduleLarge(fleet, 1_000, 500)
    await until('they are delivering', () => service.delivered.length > 100)
    service.signal('SIGKILL')
    await until('none is left', () => !children.some(isRunning))
  })

  it('comes with 1 and one line when standard output is closed', async () => {
    const { fleet, service } = await startSupervisor(2)
    service.closeConsole()
    await fleet.schedule(10, Date.now())
    await until('it has ended', service.hasEnded)
    expect(await service.end()).toBe(1)
    expect(service.stderr()).toMatch(/^carillon: standard output is closed [^\n]+\n$/)
  })
})

describe('a refused start of several processes', () => {
  it('ends with 1 and one line for a port that another program holds', async () => {
    const { fleet, service } = await startSupervisor(2)
    const { port } = new URL(service.url)
    const env = { PORT: port, NAMESPACE: fleet.namespace, PROCESSES: '3' }
    expect(await refusedStart(env)).toEqual({
      code: 1,
      stderr: `carillon: PORT is ${port}, which another program on 127.0.0.1 is using; set another PORT\n`,
    })
  })

  it('ends with 1 and one line for a Redis that may evict', async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const { code, stderr } = await refusedStart({ REDIS_URL: redis.url, PROCESSES: '3' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: Redis's maxmemory-policy is allkeys-lru[^\n]+\n$/)
  })

  it('ends with 1 and one line for a Redis that turns out unsupported once it is there', async () => {
    const redis = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] })
    onTestFinished(() => redis.stop())
    await redis.kill()
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: { PROCESSES: '2' } })
    const [service] = fleet.servers as [Service]
    await redis.start()
    await until('it has ended', service.hasEnded)
    expect(await service.end()).toBe(1)
    expect(service.stderr()).toMatch(/^carillon: Redis's maxmemory-policy is allkeys-lru[^\n]+\n$/)
  })

  it('ends with 1 and one line for PROCESSES=0', async () => {
    const { code, stderr } = await refusedStart({ PROCESSES: '0' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^carillon: PROCESSES is "0"; allowed: [^\n]+\n$/)
  })
})
