import type { ServerLoad } from '../membership/membership.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Slots } from './slots.ts'

export interface ServerLoadDeps {
  readonly slots: Pick<Slots, 'inFlight'>
  readonly dispatcher: Pick<Dispatcher, 'oldestSince'>
  /** deliveries at a time, in all and to each host */
  readonly capacity: number
  readonly perHost: number
  readonly loopDelayMs: () => number
  /** epoch ms by Redis's clock */
  readonly now: () => number
}

/** So many lanes are told, as every heartbeat has them. */
const MOST_LANES = 50

/** How much this server has to do now. @param saturated lanes that took all of their slots lately */
export function serverLoad(
  { slots, dispatcher, capacity, perHost, loopDelayMs, now }: ServerLoadDeps,
  saturated: readonly string[],
): ServerLoad {
  const { total, lanes } = slots.inFlight()
  const sinceOf = (lane?: string): number | null => {
    const since = dispatcher.oldestSince(lane)
    return since === undefined ? null : Math.round(now() - (performance.now() - since))
  }
  const busiest = [...lanes].sort(([, a], [, b]) => b - a).slice(0, MOST_LANES)
  return {
    ...{ inFlight: total, capacity, loopDelayMs: Math.round(loopDelayMs()), oldestSince: sinceOf() },
    full: saturated.flatMap((lane) => {
      const oldestSince = sinceOf(lane)
      return oldestSince === null
        ? []
        : [{ lane, inFlight: lanes.get(lane) ?? 0, limit: perHost, oldestSince }]
    }),
    lanes: Object.fromEntries(busiest),
  }
}
