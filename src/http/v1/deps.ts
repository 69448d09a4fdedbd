import type { EventStreams } from '../../events/streams.ts'
import type { Leases } from '../../leases/leases.ts'
import type { ServerInfo } from '../../membership/membership.ts'
import type { Bulk } from '../../messages/bulk.ts'
import type { Counted } from '../../messages/count.ts'
import type { DeadGroups, Grouping } from '../../messages/dead-groups.ts'
import type { DeadLetters } from '../../messages/dead-letters.ts'
import type { Filter } from '../../messages/filter.ts'
import type { Page, PageQuery } from '../../messages/listing.ts'
import type { Load } from '../../messages/load.ts'
import type { Bucket } from '../../messages/overview.ts'
import type { Scheduler } from '../../messages/scheduler.ts'
import type { Totals } from '../../observability/metrics.ts'
import type { ActLog } from '../../operations/act-log.ts'
import type { Operations } from '../../operations/operations.ts'
import type { Pauses } from '../../pauses/pauses.ts'
import type { Reasons } from '../../reasons/reasons.ts'
import type { Destinations } from '../../traffic/destinations.ts'
import type { LatenessReport } from '../../traffic/lateness.ts'
import type { CheckDestination } from './messages/translate.ts'
import type { System } from './system/schemas.ts'

/** What the routes of the API work with. A resource takes the part that it needs, by Pick. */
export interface ApiDeps {
  readonly scheduler: Scheduler
  readonly bulk: Bulk
  readonly deadLetters: DeadLetters
  readonly operations: Operations
  readonly actLog: ActLog
  readonly leases: Leases
  readonly pauses: Pauses
  readonly events: Pick<EventStreams, 'hasRoom' | 'stream' | 'close'>
  readonly reasons: Reasons
  readonly checkDestination: CheckDestination
  readonly listPage: (query: PageQuery) => Promise<Page>
  readonly count: (filter: Filter) => Promise<Counted>
  readonly deadGroups: (by: Grouping) => Promise<DeadGroups>
  readonly forecast: (args: { from: number; to: number; bucketMs: number }) => Promise<Bucket[]>
  readonly totals: () => Promise<Totals>
  readonly servers: () => Promise<ServerInfo[]>
  /** the streams with messages, each with its keys, one per shard */
  readonly streams: () => Promise<{ name: string; keys: string[] }[]>
  /** the number of shards that may hold messages */
  readonly shards: () => number
  readonly redisFacts: () => Promise<{
    version: string | null
    usedMemoryBytes: number | null
    maxMemoryBytes: number | null
  }>
  readonly namespace: string
  /** what this server offers, for clients that have to know */
  readonly features: Readonly<Record<'clock' | 'events' | 'telemetry' | 'embedded', boolean>>
  /** what is due, what is coming, and what the servers can take */
  readonly load: () => Promise<Load>
  /** how late deliveries began, in the last hour; from and to are epoch ms */
  readonly lateness: (args: { from: number; to: number }) => Promise<LatenessReport>
  readonly destinations: Destinations
  readonly system: () => Promise<System>
  /** Redis's clock as last read, epoch ms */
  readonly now: () => number
  /** how long a lease lasts by default, ms */
  readonly lockMs: number
  /** the largest body of a message, bytes */
  readonly bodyLimit: number
  /** the largest JSON batch, bytes */
  readonly batchBodyLimit: number
}
