import type { Wake } from '../store/scripts/test-clock.ts'
import type { Act } from './acts.ts'
import type { Look, Settled } from './settled.ts'
import type { TestTime } from './test-time.ts'

/** How far the clock is to be advanced, and how long that may take. */
export interface Advance {
  /** epoch ms; Infinity for as far as anything happens */
  readonly to: number
  /** stops after so many messages have fallen due; Infinity for any number */
  readonly messages: number
  /** sets the clock at once, without the steps in between */
  readonly jump: boolean
  readonly maxSteps: number
  /** real ms */
  readonly timeoutMs: number
  /** real ms at each step in which pull workers may finish what is due for them */
  readonly waitForPullMs: number
}

export const STOPPED = ['target', 'messages', 'nothing left', 'maxSteps', 'timeoutMs'] as const
export type StoppedBecause = (typeof STOPPED)[number]

export interface Advanced {
  /** epoch ms, both */
  readonly from: number
  readonly to: number
  readonly steps: number
  readonly stoppedBecause: StoppedBecause
}

/** The lane that the claimers of a kind are woken by. */
const LANE_OF: Readonly<Record<string, string>> = { console: '', stream: 'stream', lane: 'webhook:' }

/** Where something happens next. */
const wakesAt = ({ nextAt, shards }: Look): Wake[] =>
  shards.flatMap((each, shard) =>
    each.nextAt === nextAt ? each.nextLanes.map((lane) => ({ shard, lane: LANE_OF[lane] ?? '' })) : [],
  )

const wakesEverywhere = ({ shards }: Look): Wake[] =>
  shards.flatMap((_, shard) => Object.values(LANE_OF).map((lane) => ({ shard, lane })))

/**
 * Advances a frozen clock through everything that happens until then, in order of time: it sets the clock to
 * the next thing to happen, and waits until nothing is due and nothing in flight.
 *
 * @param resume the rate that the clock has again if this server dies
 */
export async function advance(
  { act, settled, time }: { act: Act; settled: Settled; time: TestTime },
  { to, messages, jump, maxSteps, timeoutMs, waitForPullMs }: Advance,
  resume: number,
): Promise<Advanced> {
  const endsAt = performance.now() + timeoutMs
  const wait = () => settled.wait(endsAt, waitForPullMs)
  await act.set({ rate: 0, resume })
  const from = time.now()
  let steps = 0
  let happened = 0
  const stopped = (stoppedBecause: StoppedBecause): Advanced => ({
    ...{ from, to: time.now(), steps, stoppedBecause },
  })
  let seen = await wait()
  const setTo = async (at: number, wakes: readonly Wake[]) => {
    await act.set({ at, rate: 0, resume, wakes })
    steps += 1
    seen = await wait()
  }
  if (jump) {
    await setTo(to, wakesEverywhere(seen))
    return stopped(seen.isSettled ? 'target' : 'timeoutMs')
  }
  for (;;) {
    if (!seen.isSettled || performance.now() >= endsAt) return stopped('timeoutMs')
    if (happened >= messages) return stopped('messages')
    if (seen.nextAt > to || seen.nextAt === Number.POSITIVE_INFINITY) break
    if (steps >= maxSteps) return stopped('maxSteps')
    happened += seen.nextDue
    await setTo(seen.nextAt, wakesAt(seen))
  }
  if (to === Number.POSITIVE_INFINITY) return stopped('nothing left')
  await act.set({ at: to, rate: 0, resume })
  return stopped('target')
}
