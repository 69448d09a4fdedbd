import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { auditFindings } from '../../support/audit.ts'
import { startChild } from '../../support/children.ts'
import { startFleet } from '../../support/fleet.ts'
import { openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { startTraffic } from '../../support/traffic.ts'

async function connected(url = inject('redisUrl')) {
  const connection = connect(parseRedisUrl(url))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  return connection.client
}

/** Runs `npm run audit`, set-up apart. */
async function runAudit(env: Readonly<Record<string, string>>, ...args: string[]) {
  const child = startChild(process.execPath, ['dist/audit/main.js', ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await ended
  return { code: code as number | null, stdout, stderr }
}

it('a busy fleet, audited again and again, is never found between two states', async () => {
  const receiver = await openReceiver((response, { path }) => {
    const fails = path === '/fails' && Math.random() < 0.5
    setTimeout(() => response.writeHead(fails ? 500 : 204).end(), Math.random() * 20)
  })
  const fleet = await startFleet({
    size: 2,
    env: { WEBHOOK_ALLOW: '127.0.0.1', LOCK_TTL_MS: '1000', HISTORY_MAX: '200', DEAD_MAX: '50', SHARDS: '2' },
  })
  const traffic = startTraffic(() => fleet.servers, receiver.url)
  const client = await connected()
  let audits = 0
  while (audits < 10 || traffic.accepted.size < 250) {
    expect(await auditFindings(client, fleet.namespace)).toEqual([])
    audits += 1
  }
  await (fleet.servers[0] as Service).end('SIGKILL')
  for (let i = 0; i < 5; i += 1) expect(await auditFindings(client, fleet.namespace)).toEqual([])
  await traffic.stop()
  expect(await auditFindings(client, fleet.namespace)).toEqual([])
})

it('the command tells what it found by its exit code and in words', async () => {
  const REDIS_URL = inject('redisUrl')
  const fleet = await startFleet({ size: 1 })
  await fleet.schedule(3, Date.now() + 3_600_000)
  const env = { REDIS_URL, NAMESPACE: fleet.namespace }
  const sound = await runAudit(env)
  expect(sound).toMatchObject({ code: 0, stderr: '' })
  expect(sound.stdout).toMatch(/^audited namespace "test-\w+": 3 messages, .*\nno findings\n$/)

  const client = await connected()
  const shards = Array.from({ length: fleet.shards }, (_, shard) => keysOf(shard, fleet.namespace))
  for (const keys of shards) await client.zrem(keys.scheduled, 'm0')
  const found = await runAudit(env)
  expect(found).toMatchObject({ code: 1, stderr: '' })
  expect(found.stdout).toMatch(/\n1 x no-state: stored, but .*\n {4}--repair: .*\n {4}"m0" in shard \d+\n$/)

  const repaired = await runAudit(env, '--repair')
  expect(repaired).toMatchObject({ code: 0, stderr: '' })
  expect(repaired.stdout).toMatch(/\n1 x no-state: [\s\S]*\nrepaired 1\n[\s\S]*\nno findings\n$/)

  const away = await runAudit({ ...env, REDIS_URL: 'redis://127.0.0.1:1' })
  expect(away).toMatchObject({ code: 2, stdout: '' })
  expect(away.stderr).toMatch(/^carillon audit: .*ECONNREFUSED/)
  expect(await runAudit(env, '--everything')).toMatchObject({ code: 2 })
}, 60_000)
