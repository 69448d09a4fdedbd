import type { Cluster, Redis } from 'ioredis'
import { namespaceDefine } from '../define-script.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** A server without a heartbeat for this long counts as gone; it sends one every third of this time. */
export const SERVER_GONE_AFTER_MS = 7_500

export interface MembershipScripts {
  /**
   * @param self this server, with its description, or null to leave; null only reads
   * @param readsMembers whether to list the servers that are alive, at a cost that grows with their number
   * @returns Redis's clock, and the servers that are alive, id to description; none unless asked
   * @throws SchedulerError as toSchedulerError says
   * @see lua/service/heartbeat.lua
   */
  heartbeat(
    self: { id: string; description: string | null } | null,
    readsMembers: boolean,
  ): Promise<{ now: number; alive: Map<string, string> }>
}

export function membershipScripts(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): MembershipScripts {
  const heartbeat = namespaceDefine(client, options)('heartbeat', {
    args: ['serverId', 'description', 'goneAfterMs', 'look'],
    timed: true,
  })
  return {
    async heartbeat(self, look) {
      const [now, ...reply] = await heartbeat(0, {
        serverId: self?.id ?? '',
        description: self?.description ?? '',
        goneAfterMs: SERVER_GONE_AFTER_MS,
        look: look ? 1 : 0,
      })
      const alive = new Map<string, string>()
      for (let i = 0; i < reply.length; i += 2) alive.set(String(reply[i]), String(reply[i + 1]))
      return { now: Number(now), alive }
    },
  }
}
