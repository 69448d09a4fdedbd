import type { RedisConnection } from './connect.ts'
import { wakeChannelOf } from './keys.ts'
import { EVENTS_WANTED, EVENTS_WANTED_WITH_PAYLOADS } from './scripts/events.ts'

/** A right to the channel that is lacking may be given. */
const REFUSED_AGAIN_MS = 1_000

export interface WakeListeners {
  /** a message became the first one of its lane in a shard, due in so many ms */
  readonly onWake: (shard: number, inMs: number, lane: string) => void
  /** more is due in a shard than one claim takes */
  readonly onHelp: (shard: number) => void
  /** what is paused in a shard has changed */
  readonly onPauses: () => void
  /** there is a listener to events, or something was written for them */
  readonly onEvents?: (what: 'wanted' | 'wanted with payloads' | 'written') => void
  /** the test clock was set */
  readonly onClock?: (text: string) => void
  /** it is subscribed again, and may have missed something */
  readonly onGap: () => void
}

/**
 * Hears what scripts publish. What is published while its connection is away is missed.
 *
 * @param connection of its own, as a subscribed connection does nothing else
 */
export function listenForWakes(
  connection: RedisConnection,
  namespace: string,
  { onWake, onHelp, onPauses, onEvents, onClock, onGap }: WakeListeners,
): void {
  const { client } = connection
  const channel = wakeChannelOf(namespace)
  client.on('message', (_channel: string, text: string) => {
    const [, wanting] = /^help (\d+)$/.exec(text) ?? []
    if (wanting !== undefined) return onHelp(Number(wanting))
    if (text.startsWith('clock ')) return onClock?.(text.slice('clock '.length))
    if (text.startsWith('pauses ')) return onPauses()
    if (text.startsWith('events ')) return onEvents?.(toEventsWord(text))
    const match = /^(\d+) (\d+) (.*)$/.exec(text)
    if (match !== null) onWake(Number(match[1]), Number(match[2]), match[3] ?? '')
  })
  // After every reconnection. One that fails has lost its connection, and the next follows; or it was refused.
  const subscribe = () => {
    client.subscribe(channel).then(onGap, (error: Error) => {
      if (error.name !== 'ReplyError') return
      setTimeout(() => connection.isReady() && subscribe(), REFUSED_AGAIN_MS).unref()
    })
  }
  connection.onStateChange((state) => {
    if (state === 'ready') subscribe()
  })
  if (connection.isReady()) subscribe()
}

/** A newer version may publish more. */
function toEventsWord(text: string): 'wanted' | 'wanted with payloads' | 'written' {
  if (text === EVENTS_WANTED) return 'wanted'
  return text === EVENTS_WANTED_WITH_PAYLOADS ? 'wanted with payloads' : 'written'
}
