import type { ClaimRoom } from '../../../support/claim-all.ts'
import type { Model } from './model.ts'
import type { Stored } from './types.ts'

/** Orders messages, lanes and the like as sorted sets do. */
export const byScore = ([a, x]: [string, { score: number }], [b, y]: [string, { score: number }]) =>
  x.score - y.score || (a < b ? -1 : 1)

/** All indexed lanes are of hosts, except those of queues. */
const isOfHost = (lane: string) => lane.includes(':') && !lane.startsWith('pull:')

/** The first due messages of a lane that are not paused; a tag has those in front of them set aside. */
function take(model: Model, lane: string, most: number, now: number): [string, Stored][] {
  const { pauses } = model
  const taken: [string, Stored][] = []
  if (pauses.holdsLane(lane)) return taken
  for (const [id, message] of model.inLane(lane)) {
    if (message.score > now || taken.length >= most) break
    if (pauses.holdsTagOf(message)) pauses.asides.add(id)
    else taken.push([id, message])
  }
  return taken
}

/** of each lane that is not paused when its first message is due */
export const openHeads = (model: Model): Map<string, number> =>
  new Map([...model.heads()].filter(([lane]) => !model.pauses.holdsLane(lane)))

/** What there is room for, in order: streams, the main due set, then the lanes, of hosts the longest overdue first. */
export function takeFor(
  model: Model,
  { limit, streamLimit, slots, hostSlots, lanes }: ClaimRoom,
  now: number,
): [string, Stored][] {
  const taken = [...take(model, 'stream', streamLimit, now), ...take(model, '', limit, now)]
  const hosts = [...model.heads()]
    .filter(([lane]) => isOfHost(lane))
    .map(([lane, score]): [string, { score: number }] => [lane, { score }])
    .sort(byScore)
    .map(([lane]) => lane)
  let left = slots
  for (const lane of hostSlots > 0 ? hosts : lanes.keys()) {
    const found = take(model, lane, Math.min(left, lanes.get(lane) ?? hostSlots), now)
    taken.push(...found)
    left -= found.length
  }
  return taken
}

/** What is left that the same room has a claim to. */
export function nextFor(model: Model, { limit, streamLimit, hostSlots, lanes }: ClaimRoom, now: number) {
  const heads = openHeads(model)
  const hosts = [...heads].filter(([lane]) => hostSlots > 0 && isOfHost(lane))
  const named = hostSlots > 0 ? [] : [...lanes.keys()].map((lane) => heads.get(lane))
  const times = [
    ...(limit > 0 ? [heads.get('')] : []),
    ...(streamLimit > 0 ? [heads.get('stream')] : []),
    ...named,
    // What is due now and was not taken had no slot, and waits for none but that.
    ...hosts.map(([, head]) => head).filter((head) => head > now),
  ].filter((head) => head !== undefined)
  return {
    nextDueInMs: times.length === 0 ? null : Math.max(0, Math.min(...times) - now),
    heldBack: hosts.some(([, head]) => head <= now),
  }
}
