import { type MessageScripts, SERVER_GONE_AFTER_MS } from '../redis/message-scripts.ts'
import type { RedisClock } from '../redis/redis-clock.ts'

export interface ServerInfo {
  readonly id: string
  /** epoch ms */
  readonly startedAt: number
  readonly roles: readonly string[]
  readonly version: string
  /** lanes of webhook hosts for which it has had no slot lately */
  readonly fullHosts: readonly string[]
}

/** The servers that are alive: each says so again and again, and says when it leaves. */
export interface Roster {
  start(): void
  /** Leaves at once. Safe before start and twice; never throws. */
  stop(): Promise<void>
  /** @throws SchedulerError STORE_UNAVAILABLE @see lua/heartbeat.lua */
  servers(): Promise<ServerInfo[]>
}

/**
 * @param fullHosts asked at every beat
 * @param clock told of Redis's at every beat, so that it does not drift while nothing else is going on
 */
export function createRoster(
  scripts: Pick<MessageScripts, 'heartbeat'>,
  self: Omit<ServerInfo, 'startedAt' | 'fullHosts'>,
  fullHosts: () => readonly string[],
  clock: RedisClock,
): Roster {
  let timer: NodeJS.Timeout | undefined
  let startedAt = 0
  const { id, ...description } = self
  const say = (text: string | null) => scripts.heartbeat({ id, description: text })
  // A beat that fails is made good by the next; that Redis is away others have logged.
  const beat = () =>
    void say(JSON.stringify({ ...description, startedAt, fullHosts: fullHosts() })).then(
      ({ now }) => clock.observe(now),
      () => undefined,
    )

  return {
    start() {
      if (timer !== undefined) return
      startedAt = clock.now()
      beat()
      timer = setInterval(beat, SERVER_GONE_AFTER_MS / 3)
    },
    async stop() {
      if (timer === undefined) return
      clearInterval(timer)
      timer = undefined
      await say(null).catch(() => undefined)
    },
    async servers() {
      const { alive } = await scripts.heartbeat(null)
      return [...alive].map(([serverId, text]) => ({
        fullHosts: [], // of an older version
        ...(JSON.parse(text) as Omit<ServerInfo, 'id' | 'fullHosts'>),
        id: serverId,
      }))
    },
  }
}
