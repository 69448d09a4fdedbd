import { problemsOf } from '../destinations/registry.ts'
import type { RecordForm } from '../domain/message.ts'
import type { EventStreams } from '../events/streams.ts'
import { tellingLeases } from '../events/telling-scripts.ts'
import type { ApiDeps } from '../http/v1/deps.ts'
import { AskedQueues } from '../leases/asked-queues.ts'
import { RedisLeases } from '../leases/leases.ts'
import type { Membership } from '../membership/membership.ts'
import { createBulk } from '../messages/bulk.ts'
import { countMatches } from '../messages/count.ts'
import { deadGroups } from '../messages/dead-groups.ts'
import { createDeadLetters } from '../messages/dead-letters.ts'
import { createGroupCommit } from '../messages/group-commit.ts'
import { listPage } from '../messages/listing.ts'
import { load } from '../messages/load.ts'
import { createMatches } from '../messages/matches.ts'
import { forecast, streams, totals } from '../messages/overview.ts'
import { createScheduler } from '../messages/scheduler.ts'
import { createSelector } from '../messages/selector.ts'
import type { OperationRunner } from '../operations/runner.ts'
import { createReasons } from '../reasons/reasons.ts'
import { keysOf } from '../store/keys.ts'
import { readRedisDetails, readRedisFacts } from '../store/requirements.ts'
import { createDestinations } from '../traffic/destinations.ts'
import { lateness } from '../traffic/lateness.ts'
import { perSecond } from '../traffic/rate.ts'
import type { TrafficRecorder } from '../traffic/recorder.ts'
import { composeOperations } from './compose-operations.ts'
import type { Parts } from './parts.ts'
import { createSystem } from './system.ts'

export interface ApiParts extends Parts {
  readonly membership: Membership
  readonly traffic: TrafficRecorder
  readonly eventStreams: EventStreams
  /** when a server with the role worker was last heard of, epoch ms; null for never */
  readonly workerHeardAt: () => number | null
  /** in which form records are written just now */
  readonly recordForm: () => RecordForm
  /** called when a stored message became the next one of its lane */
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

/** What the routes for messages work with. */
export function composeApi(parts: ApiParts): ApiDeps & { leases: RedisLeases; runner: OperationRunner } {
  const { config, clock, shardMap, scripts, serverId, membership } = parts
  let scheduleCalls = 0
  const groupCommit = createGroupCommit({
    ...parts,
    shards: () => shardMap.writable,
    probe: scripts.streams,
    nextToken: () => `${serverId}:${++scheduleCalls}`,
  })
  const hour = { scripts, recorder: parts.traffic, now: clock.now }
  const selector = createSelector(scripts, shardMap)
  const search = { scripts, shardMap, now: clock.now }
  const matches = createMatches(search)
  const lists: Pick<ApiDeps, 'listPage' | 'count'> = {
    listPage: (query) => listPage(search, query),
    count: (filter) => countMatches({ ...search, matches }, filter),
  }
  return {
    ...lists,
    ...composeOperations({ ...parts, ...lists, matches }),
    scheduler: createScheduler({
      ...{ ...parts, groupCommit },
      dedupWindowMs: config.DEDUP_WINDOW_MS,
      now: clock.now,
    }),
    bulk: createBulk({ ...parts, selector }),
    deadLetters: createDeadLetters({ ...parts, selector }),
    leases: new RedisLeases({
      ...{ ...parts, scripts: tellingLeases(scripts, parts.events, clock.now) },
      askedQueues: new AskedQueues(scripts.noteAsked),
    }),
    reasons: createReasons({
      ...{ ...parts, servers: membership.servers, now: clock.now },
      ...{ pausedBy: parts.pauses.pausedBy, pauses: parts.pauses.list },
      perSecond: (lane) => perSecond(hour, lane),
      history: { max: config.HISTORY_MAX, ttlMs: config.HISTORY_TTL_MS },
    }),
    pauses: parts.pauses,
    events: parts.eventStreams,
    checkDestination: (destination) => problemsOf(destination, parts.destinations),
    deadGroups: (by) => deadGroups(scripts, shardMap.all, by),
    forecast: (args) => forecast(scripts, shardMap.all, args),
    totals: () => totals(scripts, shardMap.all),
    servers: membership.servers,
    streams: () =>
      streams(scripts, shardMap.all, (shard, name) => keysOf(shard, config.NAMESPACE).streamPrefix + name),
    shards: () => shardMap.all,
    redisFacts: () => readRedisFacts(parts.connection.client),
    namespace: config.NAMESPACE,
    features: {
      clock: parts.testTime !== undefined,
      events: true,
      telemetry: false,
      embedded: config.REDIS_URL === undefined,
    },
    lateness: (args) => lateness(hour, args),
    destinations: createDestinations({
      ...{ ...hour, scripts, shards: () => shardMap.all, servers: membership.servers },
      perHost: config.HOST_CONCURRENCY,
    }),
    load: () => load(scripts, shardMap.all, membership.servers),
    system: createSystem({
      ...{ config, servers: membership.servers, shards: () => shardMap.all },
      redisDetails: () => readRedisDetails(parts.connection.client),
    }),
    now: clock.now,
    lockMs: config.LOCK_TTL_MS,
    bodyLimit: config.BODY_LIMIT_BYTES,
    batchBodyLimit: config.BATCH_BODY_LIMIT_BYTES,
  }
}
