import { Type } from '@sinclair/typebox'
import { STATUSES, TAG, TimeQuery, words } from '../../validation/fields.schemas.ts'
import { EXAMPLE_MESSAGE, MessageReply, UnreadableReply } from './schemas.ts'

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
