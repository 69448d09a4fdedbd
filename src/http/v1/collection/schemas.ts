import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, Ids, STATUSES, TAG, Tag, TimeOut, words } from '../../validation/fields.schemas.ts'
import { EXAMPLE_MESSAGE, MessageReply, UnreadableReply } from '../messages/schemas.ts'

const Selection = { tag: Type.Optional(Tag), ids: Type.Optional(Ids) }

export const CancelBody = Type.Object(Selection, {
  title: 'Cancel',
  additionalProperties: false,
  description: 'a JSON object with exactly one of tag and ids',
  examples: [{ tag: 'invoices' }],
})

export const CancelReply = Type.Object(
  {
    cancelled: Type.Integer({ description: 'messages that will not be delivered', examples: [3] }),
    claimed: Type.Integer({ description: 'messages that were just being delivered, and are', examples: [0] }),
  },
  { title: 'Cancelled', description: 'how many', examples: [{ cancelled: 3, claimed: 0 }] },
)

export const ShiftBody = Type.Object(
  {
    ...Selection,
    byMs: Type.Integer({
      minimum: -253_402_300_799_999,
      maximum: 253_402_300_799_999,
      description: 'by how many ms to move them, negative for earlier',
      examples: [3_600_000],
    }),
  },
  {
    title: 'Shift',
    additionalProperties: false,
    description: 'a JSON object with byMs and exactly one of tag and ids',
    examples: [{ tag: 'invoices', byMs: 3_600_000 }],
  },
)

export const ShiftReply = Type.Object(
  { shifted: Type.Integer({ description: 'messages that were moved', examples: [3] }) },
  { title: 'Shifted', description: 'how many', examples: [{ shifted: 3 }] },
)

const TimeQuery = (more: string) =>
  Type.String({
    description: `RFC 3339 (ISO 8601 with an offset or Z), or epoch milliseconds; ${more}`,
    examples: [EXAMPLE_TIME],
  })

export const ListQuery = Type.Object(
  {
    status: Type.Optional(words(STATUSES, 'which messages (scheduled unless given)')),
    tag: Type.Optional(
      Type.String({
        ...TAG,
        description: 'a tag of 1 to 64 characters, which finds scheduled, claimed and dead messages only',
        examples: ['invoices'],
      }),
    ),
    from: Type.Optional(
      TimeQuery('only what is due (or, if claimed, locked until; if finished or dead, ended) at it or later'),
    ),
    to: Type.Optional(TimeQuery('only what is before it, by the same time as from')),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: 'messages a page: 1 to 1000 (100 unless given)',
        examples: [100],
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        description: 'nextCursor of the page before, with the same status, tag, from and to',
        examples: ['WyIxODkzNDg4NDAwMDAwIl0'],
      }),
    ),
  },
  { additionalProperties: false, description: 'status, tag, from, to, limit and cursor' },
)

const Listed = Type.Union([MessageReply, UnreadableReply], {
  description: 'a message, or what there is of one that cannot be read',
  examples: [EXAMPLE_MESSAGE],
})

export const ListReply = Type.Object(
  {
    messages: Type.Array(Listed, {
      description: 'in due order; claimed ones by lock end, finished and dead ones by when they ended',
      examples: [[EXAMPLE_MESSAGE]],
    }),
    nextCursor: Type.Union([Type.String(), Type.Null()], {
      description: 'for the next page; null when there is none',
      examples: [null],
    }),
  },
  {
    title: 'MessagePage',
    description: 'one page of messages',
    examples: [{ messages: [EXAMPLE_MESSAGE], nextCursor: null }],
  },
)

export const ForecastQuery = Type.Object(
  {
    from: Type.Optional(TimeQuery('where the first bucket begins (now unless given)')),
    to: Type.Optional(TimeQuery('where the last bucket ends (an hour after from unless given)')),
    bucketMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 253_402_300_799_999,
        description:
          'how long each bucket is, ms: 1 or more (60000 unless given), and at most 1000 buckets between from and to',
        examples: [60_000],
      }),
    ),
  },
  { additionalProperties: false, description: 'from (now), to (an hour later) and bucketMs (60000)' },
)

export const ForecastReply = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          at: TimeOut('where the bucket begins'),
          count: Type.Integer({
            description: 'scheduled messages due from there to the next bucket',
            examples: [12],
          }),
        },
        { title: 'Bucket', description: 'a span of time', examples: [{ at: EXAMPLE_TIME, count: 12 }] },
      ),
      {
        description: 'from first to last, empty ones included',
        examples: [[{ at: EXAMPLE_TIME, count: 12 }]],
      },
    ),
  },
  {
    title: 'Forecast',
    description: 'the load ahead',
    examples: [{ buckets: [{ at: EXAMPLE_TIME, count: 12 }] }],
  },
)
