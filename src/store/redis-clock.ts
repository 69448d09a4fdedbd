/** Redis's clock as last heard of, carried on by this process's monotonic one: never the machine's date. */
export interface RedisClock {
  /** @param redisNow epoch ms, from a reply just received */
  observe(redisNow: number): void
  /** epoch ms; behind Redis's own clock by the last reply's travel time, and not for deciding what is due */
  now(): number
}

/** Until the first reply it falls back on the machine's clock. */
export function createRedisClock(): RedisClock {
  let offset: number | undefined
  return {
    observe(redisNow) {
      offset = redisNow - performance.now()
    },
    now: () => (offset === undefined ? Date.now() : Math.floor(performance.now() + offset)),
  }
}
