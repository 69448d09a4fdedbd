import { Type } from '@sinclair/typebox'
import { Ids, MessageId, Tag } from '../../validation/fields.schemas.ts'

const Selection = {
  ids: Type.Optional(Ids),
  tag: Type.Optional(Tag),
  all: Type.Optional(Type.Literal(true, { description: 'true', examples: [true] })),
}

export const RedriveBody = Type.Object(
  {
    ...Selection,
    perSecond: Type.Optional(
      Type.Number({
        minimum: 0.000_001,
        maximum: 1_000_000,
        description: '0.000001 to 1000000 messages per second (default: all at once)',
        examples: [50],
      }),
    ),
  },
  {
    title: 'Redrive',
    additionalProperties: false,
    description: 'a JSON object with exactly one of ids, tag and all, and optionally perSecond',
    examples: [{ tag: 'invoices', perSecond: 50 }, { all: true }],
  },
)

export const RedriveReply = Type.Object(
  {
    redriven: Type.Integer({ description: 'dead letters that are scheduled again', examples: [3] }),
    unreadable: Type.Optional(
      Type.Integer({
        description: 'unreadable dead letters, which stay dead; omitted if there are none',
        examples: [1],
      }),
    ),
    unknown: Type.Array(MessageId, {
      description: 'the ids that no dead letter has',
      examples: [['invoice-4711-reminder']],
    }),
  },
  { title: 'Redriven', description: 'the number of messages', examples: [{ redriven: 3, unknown: [] }] },
)

export const DeleteDeadBody = Type.Object(Selection, {
  title: 'DeleteDead',
  additionalProperties: false,
  description: 'a JSON object with exactly one of ids, tag and all',
  examples: [{ tag: 'invoices' }, { all: true }],
})

export const DeleteDeadReply = Type.Object(
  { deleted: Type.Integer({ description: 'dead letters that were deleted', examples: [3] }) },
  { title: 'DeletedDead', description: 'the number of messages', examples: [{ deleted: 3 }] },
)
