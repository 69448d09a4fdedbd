import { type Static, Type } from '@sinclair/typebox'
import { ACTIONS } from '../../../operations/request.ts'
import {
  DelayIn,
  EXAMPLE_TIME,
  literals,
  MessageId,
  nullable,
  TimeOut,
  words,
} from '../../validation/fields.schemas.ts'
import { ShiftBody } from '../bulk/schemas.ts'
import { RedriveBody } from '../dead-letters/schemas.ts'
import { FilterBody } from '../messages/filter.schemas.ts'
import { EXAMPLE_MESSAGE, MessageReply, NewMessageBody, UnreadableReply } from '../messages/schemas.ts'

export const HOW_TO_SAY_ALL = 'leave filter out and send "all": true for every message'

const Filter = Type.Object(FilterBody.properties, {
  title: 'OperationFilter',
  additionalProperties: false,
  minProperties: 1,
  description: `${FilterBody.description}; ${HOW_TO_SAY_ALL}`,
  examples: [{ destination: 'webhook:https://api.shop', reason: 'status 503' }],
})

export const OperationBody = Type.Object(
  {
    action: words(ACTIONS, 'what is done with each message'),
    filter: Type.Optional(Filter),
    all: Type.Optional(
      Type.Literal(true, {
        description:
          'true, in place of filter: every scheduled message, or every dead one to redrive or delete',
        examples: [true],
      }),
    ),
    dryRun: Type.Optional(
      Type.Boolean({ description: 'true to count and to change nothing, or false', examples: [true] }),
    ),
    perSecond: RedriveBody.properties.perSecond,
    byMs: Type.Optional(ShiftBody.properties.byMs),
    spread: Type.Optional(
      DelayIn('over so long the messages fall due, evenly, that are delivered, shifted or redriven'),
    ),
    destination: NewMessageBody.properties.destination,
    retry: NewMessageBody.properties.retry,
  },
  {
    title: 'NewOperation',
    additionalProperties: false,
    description: 'a JSON object with action and exactly one of filter and all',
    examples: [
      { action: 'redrive', filter: { destination: 'webhook:https://api.shop' }, perSecond: 50 },
      { action: 'shift', filter: { tag: 'invoices' }, byMs: 3_600_000 },
      { action: 'cancel', all: true, dryRun: true },
    ],
  },
)
export type OperationBody = Static<typeof OperationBody>

const EXAMPLE_FIRST = [EXAMPLE_MESSAGE]

export const PreviewReply = Type.Object(
  {
    dryRun: Type.Literal(true, { description: 'true', examples: [true] }),
    count: Type.Integer({ description: 'messages that match', examples: [120] }),
    atLeast: Type.Optional(
      Type.Literal(true, {
        description: 'there are at least so many; omitted if it is the exact number',
        examples: [true],
      }),
    ),
    first: Type.Array(
      Type.Union([MessageReply, UnreadableReply], {
        description: 'a message, or an unreadable one',
        examples: EXAMPLE_FIRST,
      }),
      { description: 'the first three of them', examples: [EXAMPLE_FIRST] },
    ),
  },
  {
    title: 'OperationPreview',
    description: 'what the operation would do',
    examples: [{ dryRun: true, count: 120, first: EXAMPLE_FIRST }],
  },
)

const count = (description: string, example: number) => Type.Integer({ description, examples: [example] })

const EXAMPLE_OPERATION = {
  id: 'Wm3xkT0bYv2Q',
  action: 'redrive',
  target: 'destination=webhook:https://api.shop',
  state: 'running',
  matched: 120,
  done: 50,
  failed: 0,
  startedBy: 'ops',
  startedAt: EXAMPLE_TIME,
  finishedAt: null,
}

export const OperationReply = Type.Object(
  {
    id: Type.String({ description: 'its id', examples: [EXAMPLE_OPERATION.id] }),
    action: literals(ACTIONS, 'what is done with each message', 'redrive'),
    target: Type.String({ description: 'which messages, in words', examples: [EXAMPLE_OPERATION.target] }),
    state: literals(['running', 'done', 'stopped', 'failed'], 'its state', 'running'),
    matched: nullable(
      Type.Integer(),
      'messages that matched when it began; null while they are being counted',
      [120, null],
    ),
    done: count('messages that were acted on', 50),
    failed: count('messages that could not be acted on', 0),
    failures: Type.Optional(
      Type.Object(
        {
          claimed: Type.Optional(count('messages that were being delivered', 2)),
          gone: Type.Optional(count('messages that were delivered, deleted or changed before their turn', 1)),
          unreadable: Type.Optional(count('messages that cannot be read', 1)),
        },
        { description: 'why; omitted if none failed', examples: [{ claimed: 2 }] },
      ),
    ),
    reason: Type.Optional(
      Type.String({
        description: 'why the operation itself failed; omitted otherwise',
        examples: ['the Redis user lacks permissions'],
      }),
    ),
    startedBy: nullable(Type.String(), 'the name of the API key that began it; null without keys', [
      'ops',
      null,
    ]),
    startedAt: TimeOut('when it began'),
    finishedAt: nullable(TimeOut('when it ended'), 'when it ended; null while it runs', [EXAMPLE_TIME, null]),
  },
  { title: 'Operation', description: 'an operation', examples: [EXAMPLE_OPERATION] },
)
export type OperationReply = Static<typeof OperationReply>

export const OperationsReply = Type.Object(
  {
    operations: Type.Array(OperationReply, {
      description: 'operations, the newest first; those that have ended are kept for 7 days',
      examples: [[EXAMPLE_OPERATION]],
    }),
  },
  { title: 'Operations', description: 'all operations', examples: [{ operations: [EXAMPLE_OPERATION] }] },
)

export const OperationParams = Type.Object({
  id: Type.String({ ...MessageId, description: "an operation's id", examples: [EXAMPLE_OPERATION.id] }),
})
