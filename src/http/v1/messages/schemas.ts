import { type Static, Type } from '@sinclair/typebox'
import {
  At,
  Delay,
  EXAMPLE_TIME,
  Id,
  literals,
  NotAfter,
  nullable,
  Payload,
  STATUSES,
  Tags,
  TimeOut,
  words,
} from '../../validation/fields.schemas.ts'
import { Attempt, EXAMPLE_ATTEMPT } from './attempt.schemas.ts'
import { Destination, EXAMPLE_DESTINATIONS } from './destination.schemas.ts'

const Retry = Type.Object(
  {
    attempts: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: '1 to 1000 deliveries at most, including the first',
        examples: [5],
      }),
    ),
    minMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_592_000_000,
        description: '1 to 2592000000 milliseconds: the first back-off',
        examples: [1_000],
      }),
    ),
    maxMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_592_000_000,
        description: '1 to 2592000000 milliseconds: the longest back-off',
        examples: [3_600_000],
      }),
    ),
    factor: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 100,
        description: '1 to 100: the factor between two back-offs',
        examples: [2],
      }),
    ),
    jitter: Type.Optional(words(['full', 'none'], 'random part of the back-off')),
  },
  {
    title: 'Retry',
    additionalProperties: false,
    description: 'the retry policy',
    examples: [{ attempts: 5, minMs: 1_000, maxMs: 3_600_000, factor: 2, jitter: 'full' }],
  },
)

const ON_LATE = ['deliver', 'drop', 'dead-letter'] as const
const OnLate = words(ON_LATE, 'what happens after notAfter')

export const NewMessageBody = Type.Object(
  {
    id: Type.Optional(Id),
    at: Type.Optional(At),
    delay: Type.Optional(Delay),
    payload: Payload,
    destination: Type.Optional(Destination),
    tags: Type.Optional(Tags),
    retry: Type.Optional(Retry),
    notAfter: Type.Optional(NotAfter),
    onLate: Type.Optional(OnLate),
  },
  {
    title: 'NewMessage',
    additionalProperties: false,
    description:
      'a JSON object: a message with its payload and at most one of at and delay; with neither it is due now',
    examples: [
      { at: EXAMPLE_TIME, payload: { text: 'good morning' }, tags: ['greetings'] },
      { delay: '2h', payload: { invoice: 4711 }, destination: EXAMPLE_DESTINATIONS.webhook },
      { delay: '2h', payload: { invoice: 4711 }, destination: EXAMPLE_DESTINATIONS.stream },
      { delay: '2h', payload: { invoice: 4711 }, destination: EXAMPLE_DESTINATIONS.pull },
    ],
  },
)
export type NewMessageBody = Static<typeof NewMessageBody>

export const PatchBody = Type.Object(
  {
    at: Type.Optional(At),
    delay: Type.Optional(Delay),
    payload: Type.Optional(Payload),
    destination: Type.Optional(Destination),
    tags: Type.Optional(Tags),
    retry: Type.Optional(
      nullable(Retry, 'the retry policy, or null for the default', [{ attempts: 5 }, null]),
    ),
    notAfter: Type.Optional(
      nullable(NotAfter, 'a time as in at, or null to remove it', [EXAMPLE_TIME, null]),
    ),
    onLate: Type.Optional(
      nullable(OnLate, 'deliver, drop or dead-letter, or null to remove it', ['drop', null]),
    ),
  },
  {
    title: 'MessagePatch',
    additionalProperties: false,
    minProperties: 1,
    description: 'a JSON object with one or more fields to change, and at most one of at and delay',
    examples: [{ delay: '2h' }, { destination: EXAMPLE_DESTINATIONS.webhook }],
  },
)
export type PatchBody = Static<typeof PatchBody>

const Status = literals(
  [...STATUSES, 'stranded'],
  'its status; stranded: another program has changed the data in Redis, and the message will not be delivered',
  'scheduled',
)

export const EXAMPLE_MESSAGE = {
  id: '~0VknCBoMfN7U',
  at: EXAMPLE_TIME,
  status: 'scheduled',
  payload: { text: 'good morning' },
  destination: { type: 'console' },
  tags: ['greetings'],
  attempts: 0,
  recoveries: 0,
  version: 1,
  createdAt: '2029-12-24T18:30:00.000Z',
}

const EXAMPLE_DEAD = {
  ...EXAMPLE_MESSAGE,
  status: 'dead',
  destination: EXAMPLE_DESTINATIONS.webhook,
  attempts: 1,
  finishedAt: '2030-01-01T09:00:00.042Z',
  reason: 'status 410',
  lastAttempts: [EXAMPLE_ATTEMPT],
}

/** A message as it is answered. */
export const MessageReply = Type.Object(
  {
    id: Type.String({
      description: "the client's id, or one made by the server, which starts with ~",
      examples: ['~0VknCBoMfN7U'],
    }),
    at: TimeOut('the due time; a retry does not change it'),
    status: Status,
    payload: Type.Optional(
      Type.Unknown({ description: 'any JSON value; absent if payloadOmitted', examples: [{ text: 'hi' }] }),
    ),
    payloadOmitted: Type.Optional(
      Type.Literal(true, {
        description: 'the history keeps no payload over 1 KiB, and the scope browse shows none',
        examples: [true],
      }),
    ),
    destination: Destination,
    tags: Tags,
    retry: Type.Optional(Retry),
    notAfter: Type.Optional(TimeOut('the time after which the message is too late')),
    onLate: Type.Optional(OnLate),
    attempts: Type.Integer({ description: 'failed deliveries', examples: [0] }),
    recoveries: Type.Integer({
      description: 'claims that expired, because their server died',
      examples: [0],
    }),
    version: Type.Integer({ description: '1, and one more for each change', examples: [1] }),
    createdAt: TimeOut('when it was accepted'),
    nextAttemptAt: Type.Optional(TimeOut('time of the next attempt after a failed delivery')),
    finishedAt: Type.Optional(TimeOut('when it was delivered, dropped, cancelled or dead-lettered')),
    lateMs: Type.Optional(
      Type.Integer({ description: 'how late it was delivered or dropped, ms', examples: [1] }),
    ),
    cancelledBy: Type.Optional(
      Type.String({
        description: 'name of the API key that cancelled it; absent without API keys',
        examples: ['ops'],
      }),
    ),
    reason: Type.Optional(
      Type.String({
        description:
          'why it is or was dead, or why its last attempt failed: status and a number, timeout, network, lock lost, ' +
          'recoveries, expired, address not allowed or another short code',
        examples: ['status 410'],
      }),
    ),
    lastAttempts: Type.Optional(
      Type.Array(Attempt, {
        description: 'the last 5 failed attempts, newest last',
        examples: [[EXAMPLE_ATTEMPT]],
      }),
    ),
  },
  { title: 'Message', description: 'a message', examples: [EXAMPLE_MESSAGE, EXAMPLE_DEAD] },
)
export type MessageReply = Static<typeof MessageReply>

const ALWAYS = ['id', 'status'] as const

const Unreadable = {
  unreadable: Type.Literal(true, {
    description: 'another program has changed the record in Redis, and it is unreadable',
    examples: [true],
  }),
  raw: Type.Optional(
    Type.String({
      description: 'the record in Redis, as text; the scope browse does not show it',
      examples: ['garbage'],
    }),
  ),
}

const EXAMPLE_UNREADABLE = {
  ...{ id: 'invoice-4711-reminder', status: 'dead', unreadable: true, raw: 'garbage' },
  ...{ reason: 'unreadable', lastAttempts: [] },
}

/** A message that cannot be read, as it is answered. */
export const UnreadableReply = Type.Object(
  {
    ...Type.Pick(MessageReply, ['id', 'status', 'reason', 'lastAttempts']).properties,
    ...Unreadable,
  },
  {
    title: 'UnreadableMessage',
    description: 'a message whose record in Redis is unreadable; when it is due, it becomes a dead letter',
    examples: [EXAMPLE_UNREADABLE],
  },
)

/** A message, or, where the history has forgotten it, what is still known. */
export const KnownReply = Type.Composite(
  [
    Type.Pick(MessageReply, ALWAYS),
    Type.Partial(Type.Omit(MessageReply, ALWAYS)),
    Type.Partial(Type.Object(Unreadable)),
    Type.Object({
      duplicate: Type.Optional(
        Type.Literal(true, {
          description: 'the id was in use with the same content; nothing was stored',
          examples: [true],
        }),
      ),
    }),
  ],
  {
    title: 'KnownMessage',
    description:
      'a message; only id and status if it is finished and no longer in the history; raw text if it is unreadable',
    examples: [EXAMPLE_MESSAGE, EXAMPLE_DEAD, EXAMPLE_UNREADABLE],
  },
)
