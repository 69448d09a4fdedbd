import { expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, hang, openReceiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'

const ALLOWED = { WEBHOOK_ALLOW: '127.0.0.1' }
const webhook = (url: string) => ({ destination: { type: 'webhook', url } as const })

it('hosts that hang, be they as many as would fill every slot, leave some for another', async () => {
  const HANGING = 8 // 8 x HOST_CONCURRENCY is DELIVERY_CONCURRENCY
  const healthy = await openReceiver(answerWith(204))
  const hanging = await Promise.all(Array.from({ length: HANGING }, () => openReceiver(hang)))
  const fleet = await startFleet({ size: 1, env: ALLOWED })
  const now = Date.now()
  for (const [i, { url }] of hanging.entries()) {
    await fleet.schedule(100, now - 1_000, {
      destination: { type: 'webhook', url, timeoutMs: 600_000 },
      prefix: `hanging-${i}-`,
    })
  }
  await until('all of them hang', () => hanging.every(({ requests }) => requests.length > 0))
  await fleet.schedule(300, now, webhook(healthy.url))
  // Long before the first of the others times out.
  await until('the healthy host has all of its messages', () => healthy.requests.length === 300)
})

it('a receiver that never ends its answers has no more connections than are allowed', async () => {
  let open = 0
  let most = 0
  const receiver = await openReceiver((_response, _request, socket) => {
    open += 1
    most = Math.max(most, open)
    socket.once('close', () => {
      open -= 1
    })
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthe beginning of')
  })
  const fleet = await startFleet({ size: 1, env: { ...ALLOWED, HOST_CONCURRENCY: '5' } })
  await fleet.schedule(20, Date.now(), webhook(receiver.url))
  await until('each message has come', () => receiver.requests.length === 20)
  expect(most).toBe(5)
})

it('a console that nobody reads keeps nothing from streams and webhooks', async () => {
  const receiver = await openReceiver(answerWith(204))
  const fleet = await startFleet({ size: 1, env: { ...ALLOWED, SHARDS: '1' } })
  const [server] = fleet.servers
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const { client } = connection
  const keys = keysOf(0, fleet.namespace)

  server?.stopReading()
  await fleet.schedule(5_000, Date.now(), { payload: 'x'.repeat(1_000), prefix: 'console-' })
  // Three batches, of which the first is stuck in the pipe.
  await until('the console is stuck', async () => (await client.zcard(keys.claimed)) >= 1_500)
  const now = Date.now()
  await fleet.schedule(50, now, { destination: { type: 'stream', name: 's' }, prefix: 'stream-' })
  await fleet.schedule(50, now, webhook(receiver.url))
  const moved = async () => (await client.xlen(`${keys.streamPrefix}s`)) === 50
  await until('all is delivered', async () => (await moved()) && receiver.requests.length === 50)
  expect(await client.zcard(keys.scheduled)).toBeGreaterThan(0)
  server?.readOn()
})
