/**
 * The test files by the Redis that they meet, so that a run against another kind of Redis can leave out what does not
 * depend on it. A file that stands in no list is one of the shared Redis. None can stand in the wrong one unnoticed:
 * where a part does not have a Redis, tests are given a text in the place of its address that nothing can work with.
 */

/** Those that meet no Redis, or, as that of the image, another one than the tests' */
export const WITHOUT_REDIS = [
  'test/architecture.test.ts',
  'test/claim/alarm.test.ts',
  'test/claim/companion.test.ts',
  'test/claim/duty.test.ts',
  'test/claim/host-slots.test.ts',
  'test/claim/slot-turns.test.ts',
  'test/config.test.ts',
  'test/deliver/*.test.ts',
  'test/http/api-keys.test.ts',
  'test/http/auth.test.ts',
  'test/http/body.test.ts',
  'test/http/connections.test.ts',
  'test/http/dead.test.ts',
  'test/http/destinations.test.ts',
  'test/http/limits.test.ts',
  'test/http/hosts.test.ts',
  'test/http/methods.test.ts',
  'test/http/metrics.test.ts',
  'test/http/origins.test.ts',
  'test/http/public-url.test.ts',
  'test/http/queues.test.ts',
  'test/http/ready.test.ts',
  'test/http/security-headers.test.ts',
  'test/http/stats.test.ts',
  'test/http/time-hints.test.ts',
  'test/http/time.test.ts',
  'test/image/*.test.ts',
  'test/json/*.test.ts',
  'test/message.test.ts',
  'test/package.test.ts',
  'test/prometheus.test.ts',
  'test/proxy/*.test.ts',
  'test/pull/lease-token.test.ts',
  'test/redis/lua.test.ts',
  'test/redis/url.test.ts',
  'test/setup/*.test.ts',
  'test/webhook-origin.test.ts',
]

/** Those that start every Redis they meet, as most do that kill it: the same ones whatever is shared */
export const OWN_REDIS = [
  'test/behaviour/broken-connections.test.ts',
  'test/behaviour/cluster-faults.test.ts',
  'test/behaviour/crashes.test.ts',
  'test/behaviour/cut-connections.test.ts',
  'test/behaviour/delivery-faults.test.ts',
  'test/behaviour/lost-data.test.ts',
  'test/behaviour/network-faults.test.ts',
  'test/behaviour/passing-states.test.ts',
  'test/behaviour/resharding.test.ts',
  'test/behaviour/rights.test.ts',
  'test/behaviour/secure-redis.test.ts',
  'test/behaviour/sentinel.test.ts',
  'test/behaviour/side-by-side.test.ts',
  'test/readiness.test.ts',
  'test/redis/append-only.test.ts',
  'test/redis/call-work.test.ts',
  'test/redis/cluster.test.ts',
  'test/redis/define-script.test.ts',
  'test/redis/embedded.test.ts',
  'test/redis/rights.test.ts',
  'test/suite/leaves-nothing.test.ts',
]

/** Of those, the ones that measure this project at a size or a speed, which takes time and depends on no release */
export const FIGURES = [
  'test/behaviour/hanging-host.test.ts',
  'test/behaviour/import.test.ts',
  'test/behaviour/listing.test.ts',
]

/** Those of the shared Redis that are about processes, signals and roles, which takes long and is the same for every kind */
export const PROCESSES = [
  'test/behaviour/full-disk.test.ts',
  'test/behaviour/connections.test.ts',
  'test/behaviour/process.test.ts',
  'test/behaviour/processes.test.ts',
  'test/behaviour/roles.test.ts',
  'test/behaviour/unexpected-errors.test.ts',
]

export const NO_SHARED_REDIS =
  'none: test/support/parts.ts has this test among those without the shared Redis'
export const NO_REDIS_SERVER = 'none: test/support/parts.ts has this test among those without a Redis'
