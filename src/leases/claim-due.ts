import type { Found } from './waiting-lines.ts'

/** Enough for 100,000 messages of a paused tag at the head of a queue. */
const MOST_CALLS = 500

/** Claims in one shard. A call that only sets paused messages aside, or resumes some, is made again. */
export async function claimDue<T>(claim: () => Promise<Found<T>>): Promise<readonly T[]> {
  for (let calls = 1; ; calls += 1) {
    const { claimed, nextDueInMs } = await claim()
    if (claimed.length > 0 || nextDueInMs !== 0 || calls === MOST_CALLS) return claimed
  }
}
