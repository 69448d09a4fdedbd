import { beforeAll, expect, onTestFinished } from 'vitest'
import { connect } from '../../src/store/connect.ts'
import { keysOf } from '../../src/store/keys.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { type Arrival, arrivals, type Body, type Lease } from './every-kind.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { olderVersion } from './older-version.ts'
import { openReceiver, type Received } from './receiver.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

/** The oldest commit that can be upgraded without a pause: of 25 November 2026. */
const OLDER = '67627d0c3448650c74c1f5b216a82d08eabf2d30'

/** A Redis, a fleet on it that has no servers yet, and a receiver of its webhooks. */
export interface UpgradeScene {
  readonly fleet: Fleet
  readonly receiverUrl: string
  /** the requests that the receiver got */
  readonly received: readonly Received[]
  /** the leased messages; the test adds to them */
  readonly pulled: Lease[]
  /** Makes the receiver accept what it refused before: `/fails` (500), `/gone` (410) and `/hangs`. */
  accept(): void
  /** @returns every arrival so far, at any destination */
  arrivals(): Promise<Arrival[]>
  /** @returns the ids of the claimed messages, those of killed servers included */
  claimed(): Promise<string[]>
}

/** Builds the older version before the tests of the current file. @returns its folder, inside a test */
export function useOlderVersion(): () => string {
  let folder = ''
  beforeAll(async () => {
    folder = await olderVersion(OLDER)
  })
  return () => folder
}

export async function setUpgradeScene(redisUrl: string): Promise<UpgradeScene> {
  let accepts = false
  const receiver = await openReceiver((response, { path }) => {
    const status = { '/fails': 500, '/gone': 410 }[path] ?? 204
    if (accepts) response.writeHead(204).end()
    else if (path !== '/hangs') response.writeHead(status).end()
  })
  const env = { WEBHOOK_ALLOW: '127.0.0.1', LOCK_TTL_MS: '5000', SHUTDOWN_GRACE_MS: '300', SHARDS: '4' }
  const fleet = await startFleet({ size: 0, redisUrl, env })
  const connection = connect(parseRedisUrl(redisUrl))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const { client } = connection
  const pulled: Lease[] = []
  const shards = Array.from({ length: fleet.shards }, (_, shard) => keysOf(shard, fleet.namespace))
  return {
    ...{ fleet, pulled, receiverUrl: receiver.url, received: receiver.requests },
    accept() {
      accepts = true
    },
    arrivals: () => arrivals({ fleet, client, received: receiver.requests, pulled }),
    claimed: async () =>
      (await Promise.all(shards.map(({ claimed }) => client.zrange(claimed, '0', '-1')))).flat(),
  }
}

/** Waits until each message has one of the statuses, and calls `meanwhile` before each check. */
export async function untilAll(
  server: Service,
  ids: readonly string[],
  statuses: readonly string[],
  meanwhile: () => Promise<unknown> = async () => undefined,
): Promise<void> {
  let open = ids
  await until(`${ids.length} messages are ${statuses.join(' or ')}`, async () => {
    await meanwhile()
    const found = await Promise.all(
      open.slice(0, 50).map((id) => server.call<Body>('GET', `/v1/messages/${id}`)),
    )
    open = open.filter((_, i) => !statuses.includes(String(found[i]?.body.status)))
    return open.length === 0
  })
}

/** Expects each message to arrive once, and again only if a killed server had claimed it. */
export async function expectOnce(
  scene: UpgradeScene,
  ids: readonly string[],
  again: readonly string[] = [],
): Promise<void> {
  const all = (await scene.arrivals()).filter(({ id }) => ids.includes(id))
  for (const id of ids) {
    const mine = all.filter((each) => each.id === id)
    expect([id, mine.length > 0]).toEqual([id, true])
    if (!again.includes(id)) expect([id, mine.length]).toEqual([id, 1])
    expect(new Set(mine.map(({ nth }) => nth)).size).toBe(mine.length)
  }
}
