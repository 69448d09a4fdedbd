import type { Direction } from '../messages/filter.ts'
import { type Filter, statusOf } from '../messages/filter.ts'
import type { Changes } from '../store/scripts/change.ts'
import type { ListedState } from '../store/scripts/query.ts'

export const ACTIONS = ['cancel', 'shift', 'redrive', 'delete', 'deliver'] as const
export type Action = (typeof ACTIONS)[number]

/** What is to be done with which messages. It is stored as JSON. */
export interface OperationRequest {
  readonly action: Action
  /** with its status */
  readonly filter: Filter
  /** messages in a second, not necessarily whole; absent for as many as there are */
  readonly perSecond?: number
  /** shift: ms, negative for earlier */
  readonly byMs?: number
  /** over how long what is moved falls due, ms */
  readonly spreadMs?: number
  /** redrive: see ChangeScripts */
  readonly changes?: Changes['options']
}

const ALLOWED: Readonly<Record<Action, readonly string[]>> = {
  cancel: ['scheduled', 'dead'],
  shift: ['scheduled'],
  deliver: ['scheduled', 'dead'],
  redrive: ['dead'],
  delete: ['dead'],
}

/** The status that an action looks at unless its filter names one. */
export function statusFor(action: Action, filter: Pick<Filter, 'status' | 'reason'>): ListedState {
  const isOfDead = action === 'redrive' || action === 'delete'
  return filter.status ?? (isOfDead ? 'dead' : statusOf(filter))
}

/** @returns which states an action is for, in words; undefined if the filter has one of them */
export function wrongState(action: Action, filter: Filter): string | undefined {
  const allowed = ALLOWED[action]
  return allowed.includes(statusOf(filter))
    ? undefined
    : `${action} is for messages that are ${allowed.join(' or ')}`
}

/**
 * In which order the messages are taken: what an action moves has to be behind those that are still to come, so that
 * it is not met again.
 */
export const directionOf = ({ action, byMs = 0 }: OperationRequest): Direction =>
  action === 'shift' && byMs >= 0 ? 'down' : 'up'

const MOST_CHARACTERS = 200

/** Which messages, as the parameters of a query; "all" for a status alone. */
export function describeFilter({ ids, ...filter }: Filter): string {
  const { status, ...rest } = filter
  const parts = Object.entries(rest).map(([name, value]) => `${name}=${value}`)
  if (ids !== undefined)
    parts.push(`ids=${ids.slice(0, 3).join(',')}${ids.length > 3 ? `,... (${ids.length})` : ''}`)
  if (parts.length === 0) return 'all'
  const text = parts.join('&')
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}...` : text
}
