import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { connect, type RedisConnection } from '../../src/redis/connect.ts'
import { guardKeyOf, keysOf, serversKeyOf } from '../../src/redis/keys.ts'
import { createScripts, type Scripts } from '../../src/redis/scripts.ts'
import { parseRedisUrl } from '../../src/redis/url.ts'
import { startCluster, type TestCluster, type TestRedis } from '../support/redis.ts'
import { SETTINGS } from '../support/retention.ts'
import { until } from '../support/until.ts'

const namespace = 'carillon'
const { messages } = keysOf(0, namespace)
const entry = (id: string) => ({ id, due: { inMs: 60_000 }, rule: 'any' as const, body: '\n"x"' })

let cluster: TestCluster
let connection: RedisConnection
let scripts: Scripts
let node: TestRedis
beforeAll(async () => {
  cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no'] })
  connection = connect(parseRedisUrl(cluster.url))
  await connection.waitUntilReady(60_000)
  scripts = createScripts(connection.client, { namespace, ...SETTINGS })
  node = await cluster.masterOf(messages)
})
afterAll(async () => {
  await connection.close()
  await cluster.stop()
})
const schedules = (id: string) =>
  scripts.schedule(0, [entry(id)]).then(
    () => true,
    () => false,
  )
afterEach(async () => {
  await until('calls are answered', () => schedules('after'))
  await node.client.del(messages)
})

describe('a call of a script on a cluster', () => {
  it('whose node was lost before it answered is perhaps done, and is not sent again', async () => {
    await scripts.schedule(0, [entry('before')])
    node.signal('SIGSTOP')
    const call = scripts.schedule(0, [entry('lost')])
    const rejected = expect(call).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', perhapsDone: true })
    // On its way, as the one before it has opened the connection.
    await new Promise((resolve) => setTimeout(resolve, 50))
    await node.kill()
    await rejected
    await node.start()
    await until('calls are answered', () => schedules('after'))
    expect((await node.client.hkeys(messages)).sort()).toEqual(['after', 'before'])
  })

  it('whose node is away certainly was not done', async () => {
    await node.kill()
    await until('the loss is noticed', async () => !(await schedules('early')))
    const call = scripts.schedule(0, [entry('refused')])
    await expect(call).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', perhapsDone: false })
    await node.start()
  })

  it('finds its way to a node that does not know the script, be it after a restart', async () => {
    await scripts.schedule(0, [entry('a')])
    await node.client.script('FLUSH')
    await scripts.schedule(0, [entry('b')])
    expect((await node.client.hkeys(messages)).sort()).toEqual(['a', 'b'])
  })
})

it.each([keysOf(7, namespace).scheduled, serversKeyOf(namespace)])(
  'the guard of %s lies beside it',
  async (key) => {
    const slotOf = (name: string) => node.client.call('CLUSTER', 'KEYSLOT', name)
    expect(guardKeyOf(key)).not.toBe(key)
    expect(await slotOf(guardKeyOf(key))).toBe(await slotOf(key))
  },
)
