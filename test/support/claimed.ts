import type { Delivery } from '../../src/destinations/delivery.ts'
import type { ScriptWorld } from './script-world.ts'

/** Schedules `count` messages in a shard, due 5 ms ago, and claims them with token `t`. */
export async function claimDeliveries(
  w: ScriptWorld,
  { count, shard, lockMs }: { count: number; shard: number; lockMs: number },
): Promise<Delivery[]> {
  const due = (await w.now()) - 5
  await w.scripts.schedule(
    shard,
    Array.from({ length: count }, (_, i) => w.entry(`m${i}`, due)),
  )
  const { claims } = await w.scripts.claim(shard, { token: 't', lockMs, limit: count })
  return claims.map(
    ({ id, number, attemptDueAt }): Delivery => ({
      ...{ id, shard, token: 't', claim: number, dueAt: due, attemptDueAt, lateMs: 5, attempt: 1 },
      payload: '1',
      destination: { type: 'webhook', url: 'https://a.test' },
      lane: 'webhook:https://a.test',
    }),
  )
}
