import { withTimeout } from '../runtime/time-limit.ts'

const FIRST_COOLDOWN_MS = 500
const LONGEST_COOLDOWN_MS = 2_000
/** A shard that has not answered for this long may be on a master that hangs. */
export const PROBE_TIMEOUT_MS = 300

/** Which shard gets the next batch: each in turn, except those that failed recently. */
export interface ShardRotation {
  /** @returns any shard if none is healthy */
  next(): number
  isHealthy(shard: number): boolean
  /** @returns whether another shard is healthy */
  hasOther(shard: number): boolean
  /** A failed shard gets no batch until a probe succeeds. The others are probed now, as they may have failed too. */
  markFailed(shard: number): void
  markHealthy(shard: number): void
}

interface Cooldown {
  readonly until: number
  readonly cooldownMs: number
}

/**
 * @param count the number of shards that new messages go to at present
 * @param probe a read in a shard; resolves when it answers. A failed shard is probed after its cooldown, when there are
 *   messages again, so that no message has to be the probe
 */
export function createShardRotation(
  count: () => number,
  probe: (shard: number) => Promise<unknown>,
): ShardRotation {
  const coolingDown = new Map<number, Cooldown>()
  const probing = new Set<number>()
  let last = Math.floor(Math.random() * count())

  const markHealthy = (shard: number) => void coolingDown.delete(shard)

  /** The shard gets no batch for a while, longer after each consecutive failure. */
  function startCooldown(shard: number): void {
    const before = coolingDown.get(shard)?.cooldownMs ?? FIRST_COOLDOWN_MS / 2
    const cooldownMs = Math.min(before * 2, LONGEST_COOLDOWN_MS)
    coolingDown.set(shard, { until: performance.now() + cooldownMs, cooldownMs })
  }

  function probeOnce(shard: number): void {
    if (probing.has(shard)) return
    probing.add(shard)
    withTimeout(probe(shard), PROBE_TIMEOUT_MS)
      .then(
        () => markHealthy(shard),
        () => startCooldown(shard),
      )
      .finally(() => probing.delete(shard))
  }

  function probeCooledDown(): void {
    for (const [shard, { until }] of coolingDown) {
      if (until <= performance.now()) probeOnce(shard)
    }
  }

  return {
    next() {
      const shards = count()
      if (coolingDown.size > 0) probeCooledDown()
      for (let step = 1; step <= shards; step += 1) {
        const shard = (last + step) % shards
        if (coolingDown.has(shard)) continue
        last = shard
        return shard
      }
      last = (last + 1) % shards
      return last
    },
    isHealthy: (shard) => !coolingDown.has(shard),
    hasOther(shard) {
      const shards = count()
      if (coolingDown.size === 0) return shards > 1
      return Array.from({ length: shards }, (_, other) => other).some(
        (other) => other !== shard && !coolingDown.has(other),
      )
    },
    markFailed(shard) {
      // Calls in flight at the same time fail together.
      if (coolingDown.has(shard)) return
      startCooldown(shard)
      for (let other = 0; other < count(); other += 1) {
        if (!coolingDown.has(other)) probeOnce(other)
      }
    },
    markHealthy,
  }
}
