import { Cluster } from 'ioredis'
import { describe, it } from 'vitest'
import type { ApiDeps } from '../../../../src/http/v1/deps.ts'
import type { Message } from '../../../../src/messages/message-view.ts'
import { useApp } from '../../../support/app.ts'
import { httpApp } from '../../../support/http-app.ts'
import { until } from '../../../support/until.ts'
import { expectAsDocumented, NOT_PROVOKED, withStatus } from './documented.ts'
import { send } from './requests.ts'

/** Answers when parts of the service fail. */
export function describeFailures(): void {
  describe('the answers of an app with failing parts', () => {
    it('are as documented when something fails in the server', async () => {
      const fail = () => Promise.reject(new Error('broken'))
      const broken = new Proxy({}, { get: () => fail }) as never
      const api = {
        ...{ leases: broken, deadLetters: broken, scheduler: broken, bulk: broken, pauses: broken },
        ...{ operations: broken, actLog: broken },
      }
      const reads = {
        listPage: fail,
        count: fail,
        deadGroups: fail,
        forecast: fail,
        totals: fail,
        servers: fail,
        streams: fail,
        redisFacts: fail,
        load: fail,
        system: fail,
        lateness: fail,
        destinations: { all: fail, one: fail },
        events: { hasRoom: true, stream: fail, close: () => undefined },
      }
      const app = await httpApp({ ...api, ...reads, reasons: broken })
      for (const [name] of withStatus(500)) {
        if (!(`${name} 500` in NOT_PROVOKED)) expectAsDocumented(name, 500, await send({ app }, name))
      }
      await app.close()
    })

    it('are as documented for a message that failed in every way', async () => {
      const whole = { at: 5, claim: 2, status: 503, durationMs: 7, error: 'answered 503', body: 'busy' }
      const dead: Message = {
        ...{ id: 'it', status: 'dead', dueAt: 5, payload: '1', destination: { type: 'console' }, tags: [] },
        ...{ failures: 2, recoveries: 0, version: 1, createdAt: 5, finishedAt: 6, reason: 'timeout' },
        lastAttempts: [whole, { at: 6, claim: 3, durationMs: 15_000 }],
      }
      const scheduler = { find: async () => dead } as unknown as ApiDeps['scheduler']
      const listPage = async () => ({ messages: [dead], end: null, isPart: false })
      const app = await httpApp({ scheduler, listPage })
      expectAsDocumented('GET /v1/messages/{id}', 200, await send({ app }, 'GET /v1/messages/{id}'))
      expectAsDocumented('GET /v1/messages', 200, await send({ app }, 'GET /v1/messages'))
      await app.close()
    })
  })

  describe('the answers without Redis', () => {
    const world = useApp()
    it('are 503 as documented for what needs Redis', async () => {
      const { client } = world()
      client.disconnect()
      // A cluster's may be told of its nodes anew just then, and only ends with the last of them.
      const isUnavailable = () =>
        client instanceof Cluster ? client.status !== 'ready' : client.status === 'end'
      await until('the connection is away', isUnavailable)
      try {
        for (const [name] of withStatus(503)) {
          if (`${name} 503` in NOT_PROVOKED) continue
          expectAsDocumented(name, 503, await send(world(), name))
        }
      } finally {
        await client.connect()
      }
    })
  })
}
