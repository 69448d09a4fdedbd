import type { ScriptContext } from '../define-script.ts'
import { numberOrNull } from '../replies.ts'
import { type FoundMessage, toFound } from './query.ts'

/** What tells why a message is where it is. All times are epoch ms. */
export interface WhyReply {
  readonly now: number
  /** undefined for an unknown one */
  readonly found: FoundMessage | undefined
  /** where it waits or waited; "" for the main set, and where that is not known */
  readonly lane: string
  /** of the claim that holds its lock; "" for none */
  readonly token: string
  /** of a message that is due: how many of its lane in its shard were due before it */
  readonly ahead: number
  /** of an unknown message: when the first of what the history holds in the shard was finished */
  readonly oldestAt: number | null
}

export interface LateLanes {
  readonly now: number
  /** overdue messages of all lanes of the shard */
  readonly total: number
  /** those of them that are set aside, as one of their tags is paused, and when the first was due, epoch ms */
  readonly aside: number
  readonly asideOldest: number | null
  /** those overdue longest, by lane ("" for the main set): when the first message was due, epoch ms */
  readonly oldest: ReadonlyMap<string, number>
}

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface ReasonScripts {
  /** @see lua/query/why.lua */
  why(shard: number, id: string): Promise<WhyReply>
  /** @param most lanes at most of hosts, and of queues @see lua/query/late.lua */
  lateLanes(shard: number, most: number): Promise<LateLanes>
  /** @returns for each lane, in order, how many of its messages are overdue @see lua/query/late.lua */
  countLate(shard: number, lanes: readonly string[]): Promise<number[]>
}

export function reasonScripts({ define }: ScriptContext): ReasonScripts {
  const why = define('why', { args: ['id'], timed: true })
  const late = define('late', { args: ['most'], each: { lane: (lane: string) => lane }, timed: true })
  return {
    async why(shard, id) {
      const [now, lane, token, ahead, oldest, ...found] = await why(shard, { id })
      return {
        ...{ now: Number(now), found: toFound(id, found) },
        ...{ lane: String(lane), token: String(token), ahead: Number(ahead), oldestAt: numberOrNull(oldest) },
      }
    },
    async lateLanes(shard, most) {
      const [now, total, aside, asideOldest, ...heads] = await late(shard, { most })
      const oldest = new Map<string, number>()
      for (let i = 0; i < heads.length; i += 2) oldest.set(String(heads[i]), Number(heads[i + 1]))
      return {
        ...{ now: Number(now), total: Number(total), oldest },
        ...{ aside: Number(aside), asideOldest: numberOrNull(asideOldest) },
      }
    },
    async countLate(shard, lanes) {
      const [, , , , ...counts] = await late(shard, { most: 0 }, lanes)
      return counts.map(Number)
    },
  }
}
