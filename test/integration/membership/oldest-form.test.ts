import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { createMembership } from '../../../src/membership/membership.ts'
import { serversKeyOf } from '../../../src/store/keys.ts'
import { createRedisClock } from '../../../src/store/redis-clock.ts'
import { useScripts } from '../../support/script-world.ts'

describe('The oldest form of records that all servers read', () => {
  const world = useScripts(() => inject('redisUrl'))

  async function lookBeside(other?: string): Promise<number> {
    const { scripts, client, namespace, now } = world()
    if (other !== undefined) await client.hset(serversKeyOf(namespace), 'other', `${await now()} ${other}`)
    return new Promise((resolve) => {
      const roster = createMembership({
        scripts,
        self: { id: 'self', roles: ['worker'], version: '0', form: 2 },
        state: () => ({ fullHosts: [], stuck: false }),
        clock: createRedisClock(),
        onMembers: (_servers, oldestForm) => resolve(oldestForm),
      })
      onTestFinished(() => roster.stop())
      roster.start()
    })
  }
  const server = { startedAt: 1, roles: ['api'], version: '0', fullHosts: [], stuck: false }

  it('is that of this version where all others announce it', async () => {
    expect(await lookBeside()).toBe(2)
    expect(await lookBeside(JSON.stringify({ ...server, form: 2 }))).toBe(2)
  })

  it('is the older one beside a server that announces none, or cannot be read', async () => {
    expect(await lookBeside(JSON.stringify(server))).toBe(1)
    expect(await lookBeside('nonsense')).toBe(1)
  })
})
