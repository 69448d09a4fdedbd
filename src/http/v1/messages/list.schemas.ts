import { Type } from '@sinclair/typebox'
import { words } from '../../validation/fields.schemas.ts'
import { FILTER_QUERY } from './filter.schemas.ts'
import { EXAMPLE_MESSAGE, MessageReply, UnreadableReply } from './schemas.ts'

export const ListQuery = Type.Object(
  {
    ...FILTER_QUERY,
    order: Type.Optional(words(['asc', 'desc'], 'the earliest time first, or the latest')),
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
        description: 'nextCursor of the previous page, with the same other parameters, but for limit',
        examples: ['WyIxODkzNDg4NDAwMDAwIl0'],
      }),
    ),
  },
  { additionalProperties: false, description: 'filters, order, limit and cursor' },
)

const Listed = Type.Union([MessageReply, UnreadableReply], {
  description: 'a message, or an unreadable one',
  examples: [EXAMPLE_MESSAGE],
})

export const ListReply = Type.Object(
  {
    messages: Type.Array(Listed, {
      description:
        'ordered by due time; claimed messages by lock end, finished and dead messages by their end; a message whose ' +
        'whole id is idPrefix comes first of all',
      examples: [[EXAMPLE_MESSAGE]],
    }),
    nextCursor: Type.Union([Type.String(), Type.Null()], {
      description: 'cursor of the next page; null on the last page',
      examples: [null],
    }),
    searched: Type.Optional(
      Type.Literal('part', {
        description: 'the page ended early, as 10,000 messages were looked at for it; the cursor continues',
        examples: ['part'],
      }),
    ),
  },
  {
    title: 'MessagePage',
    description: 'one page of messages',
    examples: [{ messages: [EXAMPLE_MESSAGE], nextCursor: null }],
  },
)
