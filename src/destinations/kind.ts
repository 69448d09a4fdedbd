import type { TSchema } from '@sinclair/typebox'
import type { Destination } from '../domain/message.ts'
import type { Sender } from './delivery.ts'
import type { AllowList } from './webhook/addresses.ts'

/** What is wrong with one field of a destination. */
export interface DestinationProblem {
  /** JSON pointer, beginning with /destination */
  readonly path: string
  /** in words, beginning with a verb: "must be ..." */
  readonly message: string
}

/** What kinds of destinations work with: to check a destination when it is scheduled, and to deliver to it. */
export interface DestinationDeps {
  /** each of them signs a webhook; with none, webhooks go unsigned */
  readonly secrets: readonly Buffer[]
  /** addresses that may be reached though they are not public */
  readonly allow: AllowList
  /** Redis's clock, epoch ms */
  readonly now: () => number
}

/**
 * One kind of destination: all that the rest of the service has to know of it.
 *
 * A message waits in a lane. "" is the main due set, from which each server claims batches for its console. "stream"
 * has the messages for streams, which a script moves. All other lanes are `<type>:<name>`, without white space. Workers
 * lease from the lanes of pull queues. A kind with a sender has its messages claimed, within the limits of a lane.
 */
export interface DestinationKind<T extends Destination> {
  readonly type: T['type']
  /** what a client gives, with a title, a description and one example */
  readonly schema: TSchema
  /** its shortest form as JSON, as it is told to a client who gave another */
  readonly form: string
  readonly laneOf: (target: T) => string
  /** what is stored after its lane: what `read` needs, on one line; "" for nothing */
  readonly restOf: (target: T) => string
  /** the reverse of both; undefined for what these do not write */
  readonly read: (lane: string, rest: string) => T | undefined
  /** the same destination with all defaults, by which two requests are compared; itself unless given */
  readonly withDefaults?: (target: T) => T
  /** what is wrong with it that its schema cannot tell, by the settings too; nothing unless given */
  readonly problemsOf?: (target: T, deps: DestinationDeps) => DestinationProblem[]
  /** makes what delivers its messages one by one; absent where no server pushes them */
  readonly createSender?: (deps: DestinationDeps) => Sender
}
