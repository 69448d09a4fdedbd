import { expect, inject, it, onTestFinished } from 'vitest'
import { createMembership, type ServerLoad } from '../../../src/membership/membership.ts'
import { serversKeyOf } from '../../../src/store/keys.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { useScripts } from '../../support/script-world.ts'

const world = useScripts(() => inject('redisUrl'))

const LOAD: ServerLoad = {
  ...{ inFlight: 2, capacity: 256, loopDelayMs: 3, oldestSince: 5 },
  full: [{ lane: 'webhook:https://a.test', inFlight: 2, limit: 2, oldestSince: 5 }],
  lanes: { 'webhook:https://a.test': 2 },
}

/** A server that has this load, beside others. @returns the servers that it finds */
async function serversBeside(others: Readonly<Record<string, object>>) {
  const { scripts, client, namespace, now } = world()
  for (const [id, description] of Object.entries(others))
    await client.hset(serversKeyOf(namespace), id, `${await now()} ${JSON.stringify(description)}`)
  const members = createMembership({
    scripts,
    self: { id: 'self', roles: ['worker'], version: '0', form: 2 },
    state: () => ({ fullHosts: [], stuck: false, load: LOAD }),
    clock: createRedisClock(),
    onMembers: () => undefined,
  })
  onTestFinished(() => members.stop())
  members.start()
  await expect.poll(async () => (await members.servers()).length).toBe(1 + Object.keys(others).length)
  return new Map((await members.servers()).map((server) => [server.id, server]))
}

it('a server tells its load with its heartbeat', async () => {
  expect((await serversBeside({})).get('self')?.load).toEqual(LOAD)
})

it('a server of an older version has no load, and neither has one whose load makes no sense', async () => {
  const server = { startedAt: 1, roles: ['api'], version: '0', fullHosts: [], stuck: false }
  const servers = await serversBeside({ older: server, strange: { ...server, load: { inFlight: 'many' } } })
  for (const id of ['older', 'strange']) {
    expect(servers.get(id)).toMatchObject({ id, version: '0' })
    expect(servers.get(id)).not.toHaveProperty('load')
  }
})
