import { describe, expect, it, onTestFinished } from 'vitest'
import { connect, type RedisConnection } from '../../../src/store/connect.ts'
import { guardKeyOf, keysOf, serversKeyOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts } from '../../../src/store/scripts/scripts.ts'
import { freshCall } from '../../support/fresh-call.ts'
import { startCluster, type TestCluster } from '../../support/redis.ts'
import { SETTINGS } from '../../support/retention.ts'
import { until } from '../../support/until.ts'

const namespace = 'carillon'
const { messages } = keysOf(0, namespace)
const entry = (id: string) => ({ id, due: { inMs: 60_000 }, rule: 'any' as const, body: '\n"x"' })

async function start() {
  const cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no'] })
  const connection = await connected(cluster)
  const { schedule } = createScripts(connection.client, { namespace, ...SETTINGS })
  const node = await cluster.masterOf(messages)
  const put = (id: string, shard = 0) => schedule(shard, [entry(id)], freshCall())
  const isPut = (id: string) =>
    put(id).then(
      () => true,
      () => false,
    )
  return { cluster, connection, node, put, isPut }
}

async function connected(cluster: TestCluster): Promise<RedisConnection> {
  const connection = connect(parseRedisUrl(cluster.url))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  return connection
}

describe('a call of a script on a cluster', () => {
  it('has an unknown outcome when its node is lost before it answers, and is not sent again', async () => {
    const { node, put, isPut } = await start()
    await put('before')
    node.signal('SIGSTOP')
    const call = put('lost')
    const rejected = expect(call).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', outcomeUnknown: true })
    // On its way, as the one before it has opened the connection.
    await new Promise((resolve) => setTimeout(resolve, 50))
    await node.kill()
    await rejected
    await node.start()
    await until('calls are answered', () => isPut('after'))
    expect((await node.client.hkeys(messages)).sort()).toEqual(['after', 'before'])
  })

  it('fails while its node is away, and is not sent when the node is back', async () => {
    const { node, put, isPut } = await start()
    await node.kill()
    await until('the loss is noticed', async () => !(await isPut('early')))
    await expect(put('refused')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
    await node.start()
    await until('calls are answered', () => isPut('after'))
    expect(await node.client.hkeys(messages)).not.toContain('refused')
  })

  it('finds its way to nodes: one that is being connected to, and one that has lost all scripts', async () => {
    const { cluster, node, put } = await start()
    const fresh = await connected(cluster)
    const { schedule } = createScripts(fresh.client, { namespace, ...SETTINGS })
    const calls = Array.from({ length: 30 }, (_, i) => schedule(i % 6, [entry(`at once ${i}`)], freshCall()))
    const replies = await Promise.all(calls)
    expect(replies.flatMap(({ words }) => words)).toEqual(calls.map(() => 'scheduled'))
    await put('a')
    await node.client.script('FLUSH')
    await put('b')
    expect(await node.client.hmget(messages, 'a', 'b')).not.toContain(null)
  })

  it('is not made while the cluster is away', async () => {
    const { connection, put } = await start()
    await connection.close()
    await expect(put('never')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', outcomeUnknown: false })
  })

  it.each([keysOf(7, namespace).scheduled, serversKeyOf(namespace)])(
    'names with %s a guard that is in the same slot',
    async (key) => {
      const { node } = await start()
      const slotOf = (name: string) => node.client.call('CLUSTER', 'KEYSLOT', name)
      expect(guardKeyOf(key)).not.toBe(key)
      expect(await slotOf(guardKeyOf(key))).toBe(await slotOf(key))
    },
  )
})
