import { expect, it, onTestFinished } from 'vitest'
import { errorsOf, startSingle, startWithRights, statusOf } from '../../support/acl.ts'
import { startFaultyProxy } from '../../support/faulty-proxy.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

it.each([
  // As where the command was renamed, and as a proxy says of one that it does not pass on.
  ['is unknown', [], '-info'],
  [
    'answers something other than text',
    ['--rename-command', 'INFO', '', '--rename-command', 'LASTSAVE', 'INFO'],
    '+info',
  ],
])('a Redis whose INFO %s is used, and its fields in the stats are null', async (_what, args, rule) => {
  const redis = await startRedis({ args })
  onTestFinished(() => redis.stop())
  await redis.client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', rule)
  const proxy = await startFaultyProxy(redis.port)
  proxy.rewrite('-NOPERM ', '-ERR the ')
  const fleet = await startFleet({ size: 1, redisUrl: `redis://app:pw@127.0.0.1:${proxy.port}` })
  const [server] = fleet.servers as [Service]
  await until('it is ready', async () => (await statusOf(server, '/ready')) === 200)
  const { status, body } = await server.call<{ redis: unknown }>('GET', '/v1/stats')
  expect(status).toBe(200)
  expect(body.redis).toEqual({ version: null, usedMemoryBytes: null, maxMemoryBytes: null })
  await fleet.untilDelivered(await fleet.schedule(1, Date.now()))
})

it('a Redis that does not tell its policy, persistence, version or memory is used, with warnings', async () => {
  const redis = await startRedis()
  const proxy = await startFaultyProxy(redis.port)
  onTestFinished(() => redis.stop())
  for (const field of [
    'maxmemory_policy:',
    'aof_enabled:',
    'redis_version:',
    'valkey_version:',
    'used_memory:',
  ])
    proxy.rewrite(`\r\n${field}`, `\r\nx${field.slice(1)}`)
  const fleet = await startFleet({ size: 1, redisUrl: `redis://127.0.0.1:${proxy.port}` })
  const [server] = fleet.servers as [Service]
  const warnings = server.log.filter(({ level }) => level === 40).map(({ msg }) => String(msg))
  for (const text of [
    /does not report its maxmemory-policy/,
    /does not report whether its append-only/,
    /does not report its version/,
  ])
    expect(warnings).toContainEqual(expect.stringMatching(text))
  const { body } = await server.call<{ redis: object }>('GET', '/v1/stats')
  expect(body.redis).toMatchObject({ version: null, usedMemoryBytes: null })
  expect(await statusOf(server, '/ready')).toBe(200)
})

it('a key that holds another type is answered with 503 in clear words, and logged', async () => {
  const store = await startSingle()
  const { server, namespace } = await startWithRights(store)
  await store.nodes[0]?.client.set(`{${namespace}:0}:messages`, 'of somebody else')
  const { status, body } = await server.call<{ detail: string }>('POST', '/v1/messages', {
    delay: 1,
    payload: 1,
  })
  expect(status).toBe(503)
  expect(body.detail).toMatch(/wrong type/)
  await until('it is logged', () => errorsOf(server).some(({ msg }) => /wrong type/.test(String(msg))))
})
