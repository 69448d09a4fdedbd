import { type Claimed, claim } from './acts.ts'
import type { ClaimRoom } from './claim-all.ts'
import { ONE, toHost, toQueue } from './lanes.ts'
import type { ScriptWorld } from './script-world.ts'

export const HOST = toHost(ONE)
export const STREAM = { destination: { type: 'stream', name: 's' } }
export const QUEUE = toQueue('q')
export const RED = { tags: ['red'] }

const revisions = new WeakMap<ScriptWorld, number>()

/** Has the shard know these pauses and no others, each by its field and its value. */
export function setPauses(w: ScriptWorld, pauses: Readonly<Record<string, string>>): Promise<string[]> {
  const revision = (revisions.get(w) ?? 0) + 1
  revisions.set(w, revision)
  return w.scripts.copyPauses(w.shard, { revision, pauses: Object.entries(pauses) })
}

export const PAUSED = 'paused 0'

/** As a pause is written that is resumed: the first shard of one. */
export const resuming = (at: number, { overMs = 0, skipBefore = 0 } = {}) =>
  `resuming ${at} ${overMs} ${skipBefore} 0.500000`

/** Claims until no call says that more is due now. @returns what each call claimed */
export async function claimAllDue(w: ScriptWorld, room: Partial<ClaimRoom> = {}): Promise<Claimed[]> {
  const calls: Claimed[] = []
  do calls.push(await claim(w, room))
  while (calls.at(-1)?.nextDueInMs === 0 && calls.length < 1_000)
  return calls
}
