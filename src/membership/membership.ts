import type { RecordForm } from '../domain/message.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import { type MembershipScripts, SERVER_GONE_AFTER_MS } from '../store/scripts/membership.ts'

const HEARTBEAT_MS = SERVER_GONE_AFTER_MS / 3
/**
 * This many servers may read the list at every heartbeat. If there are more, each reads it less often, so that the load
 * on Redis grows with the number of servers and not with its square.
 */
const READS_PER_HEARTBEAT = 50

/** How much a server has to do, at its last heartbeat. */
export interface ServerLoad {
  /** webhooks that it is delivering */
  readonly inFlight: number
  /** how many it may deliver at a time; 0 without the role worker */
  readonly capacity: number
  /** the longest delay of its event loop in the last seconds */
  readonly loopDelayMs: number
  /** when the oldest of its deliveries began, epoch ms; null for none */
  readonly oldestSince: number | null
  /** lanes that took all of their slots lately */
  readonly full: readonly FullLane[]
  /** how many of its deliveries are of which lane: the lanes with the most, 50 at most */
  readonly lanes: Readonly<Record<string, number>>
}

export interface FullLane {
  readonly lane: string
  readonly inFlight: number
  readonly limit: number
  /** when the oldest of these deliveries began, epoch ms */
  readonly oldestSince: number
}

export interface ServerInfo {
  readonly id: string
  /** epoch ms */
  readonly startedAt: number
  readonly roles: readonly string[]
  readonly version: string
  /** lanes of hosts for which it recently had no free slot */
  readonly fullHosts: readonly string[]
  /** whether its console accepts nothing */
  readonly stuck: boolean
  /** its scripts go by pauses; absent where they do not */
  readonly pauses?: true
  /** absent from servers of older versions */
  readonly load?: ServerLoad
  /** when it last heard of listeners to events, epoch ms, if it has lately; and of those that want payloads */
  readonly listeners?: { readonly at: number; readonly payloadAt: number }
  /** the newest form of records that it reads; absent for 1 */
  readonly form?: RecordForm
}

/** The servers that are alive: each sends heartbeats, and deregisters when it stops. */
export interface Membership {
  start(): void
  /** Leaves immediately. Idempotent; may be called before start(). Never throws. */
  stop(): Promise<void>
  /** @throws SchedulerError STORE_UNAVAILABLE @see lua/service/heartbeat.lua */
  servers(): Promise<ServerInfo[]>
}

export interface MembershipDeps {
  readonly scripts: Pick<MembershipScripts, 'heartbeat'>
  readonly self: Pick<ServerInfo, 'id' | 'roles' | 'version' | 'form' | 'pauses'>
  /** its present state, read at each heartbeat */
  readonly state: () => Pick<ServerInfo, 'fullHosts' | 'stuck' | 'load' | 'listeners'>
  /** set from Redis's clock at every heartbeat, so that it does not drift on an idle server */
  readonly clock: RedisClock
  /** called with the servers that are alive, this one included, and the newest form of records that all of them read */
  readonly onMembers: (servers: readonly ServerInfo[], oldestForm: RecordForm) => void
}

export function createMembership({ scripts, self, state, clock, onMembers }: MembershipDeps): Membership {
  let timer: NodeJS.Timeout | undefined
  let startedAt = 0
  let known = 1
  let heartbeatsSinceRead = Number.POSITIVE_INFINITY
  const { id, ...description } = self

  async function heartbeat(): Promise<void> {
    heartbeatsSinceRead += 1
    const readsMembers = heartbeatsSinceRead * READS_PER_HEARTBEAT >= known
    const text = JSON.stringify({ ...description, startedAt, ...state() })
    const { now, alive } = await scripts.heartbeat({ id, description: text }, readsMembers)
    clock.observe(now)
    if (!readsMembers || timer === undefined) return
    heartbeatsSinceRead = 0
    known = alive.size
    const servers = toServers(alive)
    // Of a server that cannot be read, nothing is known.
    const isOld = servers.length < alive.size || servers.some(({ form = 1 }) => form < 2)
    onMembers(servers, isOld ? 1 : 2)
  }
  // The next heartbeat makes up for a failed one. Others log that Redis is away.
  const heartbeatSafely = () => void heartbeat().catch(() => undefined)

  return {
    start() {
      if (timer !== undefined) return
      startedAt = clock.now()
      timer = setInterval(heartbeatSafely, HEARTBEAT_MS)
      heartbeatSafely()
    },
    async stop() {
      if (timer === undefined) return
      clearInterval(timer)
      timer = undefined
      await scripts.heartbeat({ id, description: null }, false).catch(() => undefined)
    },
    servers: async () => toServers((await scripts.heartbeat(null, true)).alive),
  }
}

const toServers = (alive: ReadonlyMap<string, string>): ServerInfo[] =>
  [...alive].flatMap(([id, text]) => {
    const description = readDescription(text)
    return description === undefined ? [] : [{ ...description, id }]
  })

const isTime = (ms: unknown): boolean => typeof ms === 'number' && !Number.isNaN(new Date(ms).getTime())

const isLoad = (load: ServerLoad | undefined): load is ServerLoad =>
  typeof load?.inFlight === 'number' && typeof load.capacity === 'number' && Array.isArray(load.full)

/** @returns undefined for text that no server has written */
function readDescription(text: string): Omit<ServerInfo, 'id'> | undefined {
  try {
    const description = JSON.parse(text) as Partial<ServerInfo> | null
    const { startedAt, roles, version, fullHosts, stuck } = description ?? {}
    const isSound = typeof version === 'string' && typeof stuck === 'boolean' && isTime(startedAt)
    if (!isSound || !Array.isArray(roles) || !Array.isArray(fullHosts)) return undefined
    const { load, ...rest } = description as ServerInfo
    return isLoad(load) ? { ...rest, load } : rest
  } catch {
    return undefined
  }
}
