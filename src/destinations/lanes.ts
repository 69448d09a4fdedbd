import { CLIENT_ID } from '../domain/names.ts'
import { originOf, spelledOrigin } from './webhook/origin.ts'

/** The lane of the console has no name in Redis: it is the main due set. */
const CONSOLE = 'console'
const QUEUE = new RegExp(CLIENT_ID)

/** What `readLane` takes, in words that can follow "must be". */
export const LANE_FORMS =
  'console, stream, pull: and the name of a queue, or webhook: and an origin (https://api.shop, without a path)'

/**
 * Reads the name of a lane as a client gives it.
 *
 * @returns it as messages have it, that of a webhook with its WHATWG origin; undefined if it is none
 */
export function readLane(text: string): string | undefined {
  if (text === CONSOLE || text === 'stream') return text
  const [, type, name = ''] = /^(pull|webhook):(.+)$/s.exec(text) ?? []
  if (type === 'pull') return QUEUE.test(name) ? text : undefined
  if (type !== 'webhook') return undefined
  const spelled = spelledOrigin(name)
  const isOrigin = /^https?:/i.test(spelled) && (name === spelled || name === `${spelled}/`)
  return isOrigin && URL.canParse(spelled) && !/[\s@]/.test(spelled)
    ? `webhook:${originOf(spelled)}`
    : undefined
}

/** The name of a lane of messages, "" for the console, as clients know it. */
export const laneName = (lane: string): string => (lane === '' ? CONSOLE : lane)

/** The opposite. */
export const laneOfName = (name: string): string => (name === CONSOLE ? '' : name)
