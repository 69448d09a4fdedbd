import type { Cluster, Redis } from 'ioredis'
import { namespaceDefine, type ScriptContext } from '../define-script.ts'
import { trafficKeyOf } from '../keys.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** How much waits in a lane. */
export interface LaneCount {
  /** "" for the main due set */
  readonly lane: string
  readonly waiting: number
  /** how many of them are due */
  readonly due: number
}

/** What was delivered, minute by minute. Each rejects with a SchedulerError as toSchedulerError says. */
export interface TrafficScripts {
  /** @param minute since 1970 @see lua/traffic/record-traffic.lua */
  recordTraffic(minute: number, args: { serverId: string; text: string; keepMs: number }): Promise<void>
  /** @returns what each server has recorded of a minute @see lua/traffic/read-traffic.lua */
  readTraffic(minute: number): Promise<string[]>
  /**
   * @param lanes to be counted in any case
   * @param most lanes at most that are found, of each kind
   * @see lua/traffic/count-lanes.lua
   */
  countLanes(shard: number, lanes: readonly string[], most: number): Promise<LaneCount[]>
}

export function trafficScripts(
  client: Redis | Cluster,
  { define }: ScriptContext,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): TrafficScripts {
  const defineShared = namespaceDefine(client, options)
  const record = defineShared('record-traffic', {
    args: ['minute', 'serverId', 'text', 'keepMs'],
    timed: true,
  })
  const read = defineShared('read-traffic', { args: ['minute'], timed: true })
  const countLanes = define('count-lanes', {
    args: ['most'],
    each: { lane: (lane: string) => lane },
    timed: true,
  })
  const keyOf = (minute: number) => trafficKeyOf(options.namespace, minute)
  return {
    async recordTraffic(minute, args) {
      await record(0, { minute: keyOf(minute), ...args })
    },

    async readTraffic(minute) {
      const fields = await read(0, { minute: keyOf(minute) })
      return fields.filter((_, i) => i % 2 === 1).map(String)
    },

    async countLanes(shard, lanes, most) {
      const reply = await countLanes(shard, { most }, lanes)
      return Array.from({ length: reply.length / 3 }, (_, i) => ({
        lane: String(reply[3 * i]),
        waiting: Number(reply[3 * i + 1]),
        due: Number(reply[3 * i + 2]),
      }))
    },
  }
}
