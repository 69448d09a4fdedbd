import { Type } from '@sinclair/typebox'
import { STATUSES, TAG, TimeQuery, words } from '../../validation/fields.schemas.ts'
import { EXAMPLE_MESSAGE, MessageReply, UnreadableReply } from './schemas.ts'

export const ListQuery = Type.Object(
  {
    status: Type.Optional(words(STATUSES, 'the status (default scheduled)')),
    tag: Type.Optional(
      Type.String({
        ...TAG,
        description: 'a tag of 1 to 64 characters, which requires the status scheduled, claimed or dead',
        examples: ['invoices'],
      }),
    ),
    from: Type.Optional(
      TimeQuery(
        'from this time on: due time, lock end of claimed messages, or end of finished and dead messages',
      ),
    ),
    to: Type.Optional(TimeQuery('before this time, compared like from')),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: '1 to 1000 messages per page (default 100)',
        examples: [100],
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        description: 'nextCursor of the previous page, with the same status, tag, from and to',
        examples: ['WyIxODkzNDg4NDAwMDAwIl0'],
      }),
    ),
  },
  { additionalProperties: false, description: 'status, tag, from, to, limit and cursor' },
)

const Listed = Type.Union([MessageReply, UnreadableReply], {
  description: 'a message, or an unreadable one',
  examples: [EXAMPLE_MESSAGE],
})

export const ListReply = Type.Object(
  {
    messages: Type.Array(Listed, {
      description:
        'ordered by due time; claimed messages by lock end, finished and dead messages by their end',
      examples: [[EXAMPLE_MESSAGE]],
    }),
    nextCursor: Type.Union([Type.String(), Type.Null()], {
      description: 'cursor of the next page; null on the last page',
      examples: [null],
    }),
  },
  {
    title: 'MessagePage',
    description: 'one page of messages',
    examples: [{ messages: [EXAMPLE_MESSAGE], nextCursor: null }],
  },
)
