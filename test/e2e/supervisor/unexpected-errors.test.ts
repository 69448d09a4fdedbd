import { expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { startFleet } from '../../support/fleet.ts'
import { childrenOf, isRunning } from '../../support/processes.ts'
import { hang, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

/** Runs in each process before all else: a signal then makes an error that reaches nobody. */
const preload = (code: string) => `--import=data:text/javascript,${encodeURIComponent(code)}`
const REJECTION = preload(
  "process.on('SIGUSR2', () => { void Promise.reject(new Error('nobody holds it')) })",
)
const EXCEPTION = preload("process.on('SIGUSR2', () => { throw new Error('nobody holds it') })")

const ENV = {
  SHUTDOWN_GRACE_MS: '100',
  LOCK_TTL_MS: '600000',
  WEBHOOK_ALLOW: '127.0.0.1',
}

/** A server in the middle of a delivery. */
async function startBusy(env: Readonly<Record<string, string>>) {
  const receiver = await openReceiver(hang)
  const fleet = await startFleet({ size: 1, env: { ...ENV, ...env } })
  const [server] = fleet.servers as [Service]
  const atWork = async () =>
    (await server.call<{ servers: unknown[] }>('GET', '/v1/stats')).body.servers.length
  await until('all processes are at work', async () => (await atWork()) === Number(env.PROCESSES ?? 1))
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const destination = { type: 'webhook', url: receiver.url }
  await server.call('POST', '/v1/messages', { delay: 0, payload: 1, destination })
  await until('the receiver has it', () => receiver.requests.length === 1)
  const claimed = async () => {
    const counts = await Promise.all(
      Array.from({ length: fleet.shards }, (_, shard) =>
        connection.client.zcard(keysOf(shard, fleet.namespace).claimed),
      ),
    )
    return counts.reduce((total, count) => total + count, 0)
  }
  expect(await claimed()).toBe(1)
  return { server, receiver, claimed }
}

const fatal = ({ log }: Service) => log.filter(({ level }) => level === 60)
const LINE = {
  msg: 'unexpected error; stopping',
  err: expect.objectContaining({ message: 'nobody holds it' }),
}

it.each([
  ['a rejection that nothing handles', REJECTION],
  ['an exception that nothing catches', EXCEPTION],
])('%s ends a server in order, with one line and exit code 1', async (_what, NODE_OPTIONS) => {
  const { server, claimed } = await startBusy({ NODE_OPTIONS })
  server.signal('SIGUSR2')
  server.signal('SIGUSR2')
  await until('it ends', server.hasEnded)
  expect(await server.end()).toBe(1)
  expect(fatal(server)).toEqual([expect.objectContaining(LINE)])
  expect(server.stderr()).toBe('')
  expect(await claimed()).toBe(0)
})

it('one of several processes is replaced, and what it held is delivered by another at once', async () => {
  const { server, receiver } = await startBusy({ NODE_OPTIONS: REJECTION, PROCESSES: '2' })
  const before = childrenOf(server.pid)
  for (const pid of before) process.kill(pid, 'SIGUSR2')
  await until('both have ended', () => !before.some(isRunning))
  await until('the message is delivered anew', () => receiver.requests.length > 1)
  const ended = () =>
    server.log.filter(({ msg }) => /^server process \d+ ended \(exit code 1\)/.test(String(msg)))
  await until('both ends are told', () => ended().length === 2)
  expect(fatal(server)).toEqual([expect.objectContaining(LINE), expect.objectContaining(LINE)])
  expect(server.hasEnded()).toBe(false)
})

it('the process that leads several stops them in order', async () => {
  const { server, claimed } = await startBusy({ NODE_OPTIONS: REJECTION, PROCESSES: '2' })
  const children = childrenOf(server.pid)
  server.signal('SIGUSR2')
  await until('it ends', server.hasEnded)
  expect(await server.end()).toBe(1)
  expect(children.filter(isRunning)).toEqual([])
  expect(fatal(server)).toEqual([expect.objectContaining(LINE)])
  expect(await claimed()).toBe(0)
})
