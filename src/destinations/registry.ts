import type { Destination } from '../domain/message.ts'
import { consoleKind } from './console/kind.ts'
import type { Sender } from './delivery.ts'
import type { DestinationDeps, DestinationKind, DestinationProblem } from './kind.ts'
import { pullKind } from './pull/kind.ts'
import { streamKind } from './stream/kind.ts'
import { webhookKind } from './webhook/kind.ts'

/** Every kind of destination, one line each, in the order in which they are described. */
export const DESTINATIONS = [consoleKind, webhookKind, streamKind, pullKind] as const

/** Where a message may go. */
export type AnyDestination = Parameters<(typeof DESTINATIONS)[number]['laneOf']>[0]

// A kind is only ever given what it has read itself, or what is of its type.
const kinds = new Map<string, DestinationKind<Destination>>(
  DESTINATIONS.map((kind) => [kind.type, kind as unknown as DestinationKind<Destination>]),
)

/** Undefined for a type that is unknown. */
export const kindOf = (type: string): DestinationKind<Destination> | undefined => kinds.get(type)

/** Where its messages wait; "" for the main set, and for a type that is unknown. */
export const laneOf = (destination: Destination): string =>
  kinds.get(destination.type)?.laneOf(destination) ?? ''

/** Whether servers deliver it one by one. */
export const isPushed = (type: string): boolean => kinds.get(type)?.createSender !== undefined

/** What is wrong with a destination that a client gives; empty if nothing is. */
export const problemsOf = (destination: Destination, deps: DestinationDeps): readonly DestinationProblem[] =>
  kinds.get(destination.type)?.problemsOf?.(destination, deps) ?? []

/** A destination with all defaults, by which two requests are compared. */
export const withDefaults = (destination: Destination = { type: 'console' }): Destination =>
  kinds.get(destination.type)?.withDefaults?.(destination) ?? destination

/** One sender for all kinds that are pushed. */
export function createSenders(deps: DestinationDeps): Sender {
  const senders = new Map(
    [...kinds].flatMap(([type, { createSender }]) =>
      createSender === undefined ? [] : [[type, createSender(deps)] as const],
    ),
  )
  return {
    send(delivery, signal, onReleased) {
      const sender = senders.get(delivery.destination.type)
      if (sender !== undefined) return sender.send(delivery, signal, onReleased)
      onReleased?.()
      return Promise.resolve({ kind: 'returned' })
    },
    async close() {
      await Promise.all([...senders.values()].map((sender) => sender.close()))
    },
  }
}
