import type { ClaimRoom } from '../../../support/claim-all.ts'
import type { Model } from './model.ts'
import type { Stored } from './types.ts'

/** Orders messages, lanes and the like as sorted sets do. */
export const byScore = ([a, x]: [string, { score: number }], [b, y]: [string, { score: number }]) =>
  x.score - y.score || (a < b ? -1 : 1)

/** All indexed lanes are of hosts, except those of queues. */
const isOfHost = (lane: string) => lane.includes(':') && !lane.startsWith('pull:')

/** What there is room for, in order: streams, the main due set, then the lanes, of hosts the longest overdue first. */
export function takeFor(
  model: Model,
  { limit, streamLimit, slots, hostSlots, lanes }: ClaimRoom,
  now: number,
): [string, Stored][] {
  const due = (lane: string) => model.inLane(lane).filter(([, { score }]) => score <= now)
  const taken = [...due('stream').slice(0, streamLimit), ...due('').slice(0, limit)]
  const hosts = [...model.heads()]
    .filter(([lane]) => isOfHost(lane))
    .map(([lane, score]): [string, { score: number }] => [lane, { score }])
    .sort(byScore)
    .map(([lane]) => lane)
  let left = slots
  for (const lane of hostSlots > 0 ? hosts : lanes.keys()) {
    const found = due(lane).slice(0, Math.min(left, lanes.get(lane) ?? hostSlots))
    taken.push(...found)
    left -= found.length
  }
  return taken
}

/** What is left that the same room has a claim to. */
export function nextFor(model: Model, { limit, streamLimit, hostSlots, lanes }: ClaimRoom, now: number) {
  const heads = model.heads()
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
