import { Type } from '@sinclair/typebox'
import { CLIENT_ID, CLIENT_ID_WORDS } from '../../../domain/names.ts'

export const IdParams = Type.Object({
  id: Type.String({ description: "a message's id", examples: ['invoice-4711-reminder'] }),
})

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: CLIENT_ID,
      description: `${CLIENT_ID_WORDS}; it is the id of a message whose body has none`,
      examples: ['invoice-4711-reminder'],
    }),
  ),
})

export const IfMatchHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      description: 'ETags, comma-separated, or *: the message must have one of these versions',
      examples: ['"1"'],
    }),
  ),
})
