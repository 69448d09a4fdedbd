import type { Logger } from 'pino'
import type { Metrics, Totals } from '../observability/metrics.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { EventScripts } from '../store/scripts/events.ts'
import { Collector } from './collector.ts'
import { createInterest, type Heard } from './interest.ts'
import type { EventSink } from './sink.ts'
import { EventStreams } from './streams.ts'

const STATS_EVERY_MS = 5_000

export interface EventsDeps {
  readonly scripts: EventScripts
  /** whether events are collected also when nobody listens */
  readonly always: boolean
  readonly serverId: string
  readonly metrics: Metrics
  readonly logger: Logger
  /** Redis's clock, epoch ms */
  readonly now: () => number
  readonly totals: () => Promise<Totals>
}

/** What this server tells of what happens, and to whom. */
export interface Events {
  readonly sink: EventSink
  readonly streams: EventStreams
  /** Told what servers publish, see store/scripts/events.ts. */
  onPublished(what: 'wanted' | 'wanted with payloads' | 'written'): void
  /** Redis is back. */
  resume(): void
  /** When a listener was last heard of, for the heartbeat; undefined for none. */
  lastHeard(): Heard | undefined
  /** Told the heartbeats of all servers. */
  onMembers(servers: readonly { readonly id: string; readonly listeners?: Heard }[]): void
  /** Idempotent. */
  start(): void
  /** Writes what is left. @returns once nothing of it is running */
  stop(): Promise<void>
}

export function createEvents({
  scripts,
  always,
  serverId,
  metrics,
  logger,
  now,
  totals,
}: EventsDeps): Events {
  const interest = createInterest({ always, now })
  let entries = 0
  const nextToken = () => `${serverId}:${++entries}`
  const sink = new Collector({ scripts, interest, metrics, logger, nextToken })
  const streams = new EventStreams({ scripts, interest, metrics, now })
  let timer: NodeJS.Timeout | undefined
  /** one server tells the counts of all */
  let tellsStats = true

  async function tellStats(): Promise<void> {
    if (!interest.hasListeners || !tellsStats) return
    const { oldestLateMs: _, ...counts } = await totals()
    sink.emit('stats', { at: toIso(now()), ...counts })
  }

  return {
    sink,
    streams,
    onPublished(what) {
      if (what === 'written') streams.wake()
      else interest.heard({ at: now(), payloadAt: what === 'wanted' ? 0 : now() })
    },
    resume: () => streams.resume(),
    lastHeard() {
      streams.hear()
      return interest.lastHeard()
    },
    onMembers(servers) {
      for (const { listeners } of servers) {
        if (listeners !== undefined) interest.heard(listeners)
      }
      const [first] = servers.map(({ id }) => id).sort()
      tellsStats = first === undefined || first === serverId
    },
    start() {
      timer ??= setInterval(() => void tellStats().catch(() => undefined), STATS_EVERY_MS)
    },
    async stop() {
      clearInterval(timer)
      timer = undefined
      streams.close()
      await sink.stop()
    },
  }
}
