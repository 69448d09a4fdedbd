/**
 * The test files by the Redis that they meet, so that a run against another kind of Redis can leave out what does not
 * depend on it. A file that stands in no list is one of the shared Redis. None can stand in the wrong one unnoticed:
 * where a part does not have a Redis, tests are given a text in the place of its address that nothing can work with.
 */

/** Those that meet no Redis, or, as that of the image, another one than the tests' */
export const WITHOUT_REDIS = [
  'test/architecture.test.ts',
  'test/destinations/console/*.test.ts',
  'test/destinations/webhook/*.test.ts',
  'test/dev/lock.test.ts',
  'test/dev/prepare.test.ts',
  'test/dev/redis-server.test.ts',
  'test/docs/links.test.ts',
  'test/domain/json/*.test.ts',
  'test/domain/message.test.ts',
  'test/domain/webhook-origin.test.ts',
  'test/http/api-keys.test.ts',
  'test/http/auth.test.ts',
  'test/http/body.test.ts',
  'test/http/connections.test.ts',
  'test/http/dead-letters.test.ts',
  'test/http/destinations.test.ts',
  'test/http/hosts.test.ts',
  'test/http/limits.test.ts',
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
  'test/leases/lease-token.test.ts',
  'test/membership/ownership.test.ts',
  'test/observability/prometheus.test.ts',
  'test/package.test.ts',
  'test/proxy/*.test.ts',
  'test/server/config.test.ts',
  'test/store/lua.test.ts',
  'test/store/redis-url.test.ts',
  'test/worker/alarm.test.ts',
  'test/worker/host-slots.test.ts',
  'test/worker/slot-turns.test.ts',
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
  'test/behaviour/permissions.test.ts',
  'test/behaviour/resharding.test.ts',
  'test/behaviour/secure-redis.test.ts',
  'test/behaviour/sentinel.test.ts',
  'test/behaviour/side-by-side.test.ts',
  'test/behaviour/rolling-upgrade.test.ts',
  'test/behaviour/upgrade.test.ts',
  'test/dev/append-only.test.ts',
  'test/dev/embedded-redis.test.ts',
  'test/server/readiness.test.ts',
  'test/store/call-work.test.ts',
  'test/store/cluster.test.ts',
  'test/store/define-script.test.ts',
  'test/store/permissions.test.ts',
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
  'test/behaviour/connections.test.ts',
  'test/behaviour/full-disk.test.ts',
  'test/behaviour/process.test.ts',
  'test/behaviour/processes.test.ts',
  'test/behaviour/roles.test.ts',
  'test/behaviour/unexpected-errors.test.ts',
]

export const NO_SHARED_REDIS =
  'none: test/support/parts.ts has this test among those without the shared Redis'
export const NO_REDIS_SERVER = 'none: test/support/parts.ts has this test among those without a Redis'
