import type {
  Claim,
  ClaimArgs,
  ClaimReply,
  ClaimScripts,
  HostRoom,
  MoveReply,
} from '../../src/store/scripts/claim.ts'

/** How much may be claimed of each kind. 0 leaves a kind out. */
export interface ClaimRoom extends HostRoom {
  /** maximum number of messages from the main due set */
  readonly limit: number
  /** maximum number of messages to move into streams */
  readonly streamLimit: number
}

export interface AnyClaim extends Claim {
  readonly lane?: string
  readonly streamError?: string
}

export interface AllClaimed extends ClaimReply<AnyClaim>, Pick<MoveReply, 'moved'> {
  readonly heldBack: boolean
}

type Reply = ClaimReply<AnyClaim> & Partial<AllClaimed>

export const LOCK_MS = 600_000

/** Room for every kind that servers deliver. */
export const WIDE: ClaimRoom = {
  ...{ limit: 10_000, streamLimit: 10_000, slots: 10_000, hostSlots: 10_000, reserve: 0 },
  lanes: new Map(),
}

/** Room for the main due set alone, so that a claim is one call. */
export const MAIN_ONLY: Partial<ClaimRoom> = { streamLimit: 0, hostSlots: 0 }

/** Room for the messages of one queue, as a worker claims them. */
export const workerRoom = (queue: string, slots = 10_000): ClaimRoom => ({
  ...{ limit: 0, streamLimit: 0, slots, hostSlots: 0, reserve: 0 },
  lanes: new Map([[`pull:${queue}`, slots]]),
})

const NOTHING: ClaimRoom = { limit: 0, streamLimit: 0, slots: 0, hostSlots: 0, reserve: 0, lanes: new Map() }

/** @returns the room of each call that a claim of this room takes; without hosts, its lanes are those of queues */
export function roomsOf({ limit, streamLimit, ...hosts }: ClaimRoom): ClaimRoom[] {
  const { slots, hostSlots, lanes } = hosts
  const rooms = [
    ...(streamLimit > 0 ? [{ ...NOTHING, streamLimit }] : []),
    ...(limit > 0 ? [{ ...NOTHING, limit }] : []),
    ...(hostSlots > 0
      ? [{ ...NOTHING, ...hosts }]
      : [...lanes].map((lane) => ({ ...NOTHING, slots, lanes: new Map([lane]) }))),
  ]
  return rooms.length === 0 ? [NOTHING] : rooms
}

/** Makes one call. With room for nothing, it only recovers expired claims. */
async function claimOne(
  scripts: ClaimScripts,
  shard: number,
  args: ClaimArgs,
  room: ClaimRoom,
): Promise<Reply> {
  const { limit, streamLimit, slots, hostSlots, lanes } = room
  if (streamLimit > 0) return scripts.moveToStreams(shard, { ...args, limit: streamLimit })
  if (hostSlots > 0) return scripts.claimHosts(shard, { ...args, room })
  for (const [lane, most] of lanes)
    return scripts.lease(shard, { ...args, limit: Math.min(most, slots), lane })
  const reply = await scripts.claim(shard, { ...args, limit })
  return limit > 0 ? reply : { ...reply, nextDueInMs: null }
}

/** Claims every kind that has room, as the claimers of a server do, one call after another. */
export async function claimAll(
  scripts: ClaimScripts,
  shard: number,
  { room, ...args }: ClaimArgs & { room: ClaimRoom },
): Promise<AllClaimed> {
  const replies: Reply[] = []
  for (const one of roomsOf(room)) replies.push(await claimOne(scripts, shard, args, one))
  // Each call has its own clock: times are relative to the first call that did something.
  const first = replies.find(hasEffect) ?? replies[0]
  const last = replies.at(-1)
  if (first === undefined || last === undefined) throw new Error('nothing was called')
  const sum = (of: (reply: ClaimReply) => number) => replies.reduce((all, reply) => all + of(reply), 0)
  const fromFirst = (now: number, inMs: number) => Math.max(0, now + inMs - first.now)
  const waits = replies.flatMap(({ now, nextDueInMs }) =>
    nextDueInMs === null ? [] : [nextDueInMs === 0 ? 0 : fromFirst(now, nextDueInMs)],
  )
  return {
    claims: replies.flatMap(({ claims }) => claims),
    now: first.now,
    subMs: first.subMs,
    nextDueInMs: waits.length === 0 ? null : Math.min(...waits),
    expiryInMs: last.expiryInMs === null ? null : fromFirst(last.now, last.expiryInMs),
    recovered: sum(({ recovered }) => recovered),
    dropped: sum(({ dropped }) => dropped),
    died: sum(({ died }) => died),
    trimmed: sum(({ trimmed }) => trimmed),
    effects: replies.flatMap(({ effects }) => effects),
    heldBack: replies.some(({ heldBack }) => heldBack === true),
    moved: replies.flatMap(({ moved }) => moved ?? []),
  }
}

const hasEffect = ({ claims, moved = [], recovered, dropped, died, trimmed }: Reply) =>
  claims.length + moved.length + recovered + dropped + died + trimmed > 0
