/** Events are collected for so long after a listener was last heard of: it may only be about to reconnect. */
const REMEMBERED_MS = 60_000

/** When listeners were last heard of anywhere, epoch ms by Redis's clock. Servers tell each other at heartbeats. */
export interface Heard {
  readonly at: number
  /** the same for those that want payloads; 0 for none */
  readonly payloadAt: number
}

/** Whether anybody listens, as far as this server knows. */
export interface Interest {
  /** whether events are to be collected */
  readonly isListening: boolean
  /** whether a listener was heard of in the last minute */
  readonly hasListeners: boolean
  /** whether one of them wants payloads */
  readonly wantsPayloads: boolean
  /** A listener was heard of, here or by another server. What is older than what was known is ignored. */
  heard(heard: Heard): void
  /** What other servers should know; undefined if there is no listener. */
  lastHeard(): Heard | undefined
}

/**
 * @param always whether events are to be collected also when nobody listens
 * @param now Redis's clock, epoch ms
 */
export function createInterest({ always, now }: { always: boolean; now: () => number }): Interest {
  let last: Heard = { at: 0, payloadAt: 0 }
  let timer: NodeJS.Timeout | undefined
  const interest = { isListening: always, hasListeners: false, wantsPayloads: false }

  function update(): void {
    const leftMs = last.at + REMEMBERED_MS - now()
    interest.hasListeners = leftMs > 0
    interest.wantsPayloads = last.payloadAt + REMEMBERED_MS > now()
    interest.isListening = always || interest.hasListeners
    clearTimeout(timer)
    if (interest.hasListeners) timer = setTimeout(update, Math.min(leftMs, REMEMBERED_MS)).unref()
  }

  return Object.assign(interest, {
    heard({ at, payloadAt }: Heard) {
      if (at <= last.at && payloadAt <= last.payloadAt) return
      last = { at: Math.max(at, last.at), payloadAt: Math.max(payloadAt, last.payloadAt) }
      update()
    },
    lastHeard: () => (interest.hasListeners ? last : undefined),
  })
}
