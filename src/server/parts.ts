import type { Logger } from 'pino'
import type { TestTime } from '../clock/test-time.ts'
import type { BatchSender } from '../destinations/delivery.ts'
import type { DestinationDeps } from '../destinations/kind.ts'
import type { EventSink } from '../events/sink.ts'
import type { HealthCheck } from '../http/original/health.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { Gather } from '../observability/prometheus.ts'
import type { Pauses } from '../pauses/pauses.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import type { RedisConnection } from '../store/connect.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { Config } from './config.ts'

/** What a server is put together from. */
export interface Foundations {
  readonly config: Config
  readonly logger: Logger
  /** where messages for the console go */
  readonly console: BatchSender
  readonly connection: RedisConnection
  readonly redisUser: { readonly db: number; readonly username: string | undefined }
  readonly clock: RedisClock
  /** the same, with TEST_CLOCK */
  readonly testTime?: TestTime | undefined
  readonly shardMap: ShardMap
  readonly checkHealth: HealthCheck
  /** where several processes are one service: what all of them have measured */
  readonly gatherMeasured?: Gather | undefined
}

/** What both roles of a server work with. */
export interface Parts extends Foundations {
  /** unique over all servers */
  readonly serverId: string
  readonly scripts: Scripts
  readonly metrics: Metrics
  readonly events: EventSink
  readonly destinations: DestinationDeps
  readonly pauses: Pauses
}
