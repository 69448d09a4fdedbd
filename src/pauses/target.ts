import { LANE_FORMS, laneOfName, readLane } from '../destinations/lanes.ts'
import { CLIENT_ID } from '../domain/names.ts'

/** What a pause is of. */
export interface PauseTarget {
  /** as it is told: one name for each target */
  readonly target: string
  /** as shards have it, see lua/lib/pauses.lua */
  readonly field: string
}

/** In words that can follow "must be". */
export const TARGET_FORMS = 'all, destination: and a lane, queue: and the name of a queue, or tag: and a tag'
const QUEUE = new RegExp(CLIENT_ID)
const LONGEST_TAG = 64
const PULL = 'pull:'

const ofQueue = (name: string): PauseTarget => ({ target: `queue:${name}`, field: `lane:${PULL}${name}` })

/** @returns what is wrong, in words, for what is no target */
export function readTarget(text: string): PauseTarget | string {
  if (text === 'all') return { target: text, field: text }
  const [, kind, name = ''] = /^(destination|queue|tag):(.+)$/s.exec(text) ?? []
  if (kind === 'queue') return QUEUE.test(name) ? ofQueue(name) : 'must name a queue behind queue:'
  if (kind === 'tag')
    return [...name].length <= LONGEST_TAG
      ? { target: text, field: text }
      : `must name a tag of 1 to ${LONGEST_TAG} characters behind tag:`
  const lane = kind === undefined ? undefined : readLane(name)
  if (lane === undefined)
    return kind === undefined
      ? `must be ${TARGET_FORMS}`
      : `must name a lane behind destination:, which is ${LANE_FORMS}`
  if (lane.startsWith(PULL)) return ofQueue(lane.slice(PULL.length))
  return { target: `destination:${lane}`, field: `lane:${laneOfName(lane)}` }
}

/** @param target as it is told; of anything else nothing is paused */
export function fieldOf(target: string): string {
  const found = readTarget(target)
  return typeof found === 'string' ? `unknown:${target}` : found.field
}

/** The targets that hold what is in a lane and has these tags. @param lane "" for the console */
export function targetsOf(lane: string, tags: readonly string[]): string[] {
  const ofLane = lane.startsWith(PULL)
    ? ofQueue(lane.slice(PULL.length)).target
    : `destination:${lane === '' ? 'console' : lane}`
  return ['all', ofLane, ...tags.map((tag) => `tag:${tag}`)]
}
