import { laneName } from '../destinations/lanes.ts'
import { laneOf } from '../destinations/registry.ts'
import type { FoundMessage } from '../store/scripts/query.ts'
import { type Filter, statusOf } from './filter.ts'
import { toMessage } from './message-view.ts'

/**
 * Whether a message that was found by its id matches, as lua/lib/matches.lua says of those in an index; the filter's
 * own ids are not looked at.
 *
 * @param now Redis's clock, epoch ms
 */
export function isMatch(found: FoundMessage, filter: Filter, now: number): boolean {
  const { id, state, score } = found
  if (score === null || state !== statusOf(filter)) return false
  const { from = 0, to = Number.POSITIVE_INFINITY, late = false, idPrefix = '' } = filter
  if (score < from || score >= to || (late && score > now)) return false
  if (!id.startsWith(idPrefix)) return false
  const message = toMessage(found)
  const { tags, lane } =
    'dueAt' in message ? { tags: message.tags, lane: laneOf(message.destination) } : { tags: [], lane: '' }
  const { tag, destination, reason } = filter
  if (tag !== undefined && !tags.includes(tag)) return false
  if (destination !== undefined && laneName(lane) !== destination) return false
  return reason === undefined || ('reason' in message && message.reason === reason)
}
