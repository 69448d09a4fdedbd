import { Type } from '@sinclair/typebox'
import { FILTER_QUERY } from '../messages/filter.schemas.ts'

export const CountQuery = Type.Object(FILTER_QUERY, {
  additionalProperties: false,
  description: 'the filters of a list',
})

export const CountReply = Type.Object(
  {
    count: Type.Integer({ description: 'messages that match', examples: [120] }),
    atLeast: Type.Optional(
      Type.Literal(true, {
        description: 'there are at least so many; omitted if it is the exact number',
        examples: [true],
      }),
    ),
  },
  {
    title: 'Count',
    description: 'a number of messages',
    examples: [{ count: 120 }, { count: 10_000, atLeast: true }],
  },
)
