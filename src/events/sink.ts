/** Every type of event, in the order of the docs. */
export const EVENT_TYPES = [
  'scheduled',
  'changed',
  'cancelled',
  'claimed',
  'delivered',
  'failed',
  'dead',
  'dropped',
  'recovered',
  'paused',
  'resumed',
  'operation',
  'clock',
  'stats',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** What an event tells. Times are ISO 8601; what is not known is left out. */
export interface EventData {
  /** of the message it is about */
  readonly id?: string
  /** as in filters: "console", "stream", or a lane such as "pull:mails" and "webhook:https://shop.example.com" */
  readonly destination?: string
  readonly tags?: readonly string[]
  readonly [field: string]: unknown
}

/** Where every room tells what happened. Best effort: the history, and not the events, is the truth. */
export interface EventSink {
  /** whether anybody listens; to be checked before an event is made, as with nobody there it must cost nothing */
  readonly isListening: boolean
  /**
   * Never throws, and never waits.
   *
   * @param event belongs to the sink from then on
   * @param payload of the message, as JSON text; told only to those who asked for payloads
   */
  emit(type: EventType, event: EventData, payload?: string): void
}

/** What is told to nobody. */
export const NO_EVENTS: EventSink = { isListening: false, emit: () => undefined }
