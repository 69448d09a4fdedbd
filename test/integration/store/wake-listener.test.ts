import { expect, it, onTestFinished } from 'vitest'
import { connectToHear } from '../../../src/store/connect.ts'
import { wakeChannelOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { listenForWakes } from '../../../src/store/wake-listener.ts'
import { startCluster, type TestRedis } from '../../support/redis.ts'
import { until } from '../../support/until.ts'

it('hears from another node of a cluster once its own is lost, and reports a gap', async () => {
  const cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no'] })
  onTestFinished(() => cluster.stop())
  const namespace = 'carillon'
  const channel = wakeChannelOf(namespace)
  const heard: [shard: number, inMs: number, lane: string][] = []
  let gaps = 0
  let pauses = 0
  const connection = connectToHear(parseRedisUrl(cluster.url))
  onTestFinished(() => connection.close())
  const helped: number[] = []
  listenForWakes(connection, namespace, {
    onWake: (...wake) => void heard.push(wake),
    onHelp: (shard) => void helped.push(shard),
    onPauses() {
      pauses += 1
    },
    onGap() {
      gaps += 1
    },
  })
  await until('it listens', () => gaps === 1)

  const listeners = async ({ client }: TestRedis) => Number((await client.pubsub('NUMSUB', channel))[1])
  const counts = await Promise.all(cluster.masters.map(listeners))
  const lost = cluster.masters[counts.indexOf(1)]
  const [other] = cluster.masters.filter((node) => node !== lost)
  await other?.client.publish(channel, '3 250 webhook:https://a.example')
  await other?.client.publish(channel, 'help 7')
  await until('it hears a call for help', () => helped.length === 1)
  expect(helped).toEqual([7])
  await other?.client.publish(channel, 'pauses 7')
  await until('it hears of pauses', () => pauses === 1)
  await until('it hears what another node is told', () => heard.length === 1)

  await lost?.kill()
  await until('it listens elsewhere', () => gaps === 2)
  await other?.client.publish(channel, '4 0 ')
  await until('it hears again', () => heard.length === 2)
  expect(heard).toEqual([
    [3, 250, 'webhook:https://a.example'],
    [4, 0, ''],
  ])
})
