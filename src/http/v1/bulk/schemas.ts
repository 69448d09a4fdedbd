import { Type } from '@sinclair/typebox'
import { Ids, Tag } from '../../validation/fields.schemas.ts'

const Selection = { tag: Type.Optional(Tag), ids: Type.Optional(Ids) }

export const CancelBody = Type.Object(Selection, {
  title: 'Cancel',
  additionalProperties: false,
  description: 'a JSON object with exactly one of tag and ids',
  examples: [{ tag: 'invoices' }],
})

export const CancelReply = Type.Object(
  {
    cancelled: Type.Integer({ description: 'messages that were cancelled', examples: [3] }),
    claimed: Type.Integer({
      description: 'messages that were not cancelled, as their delivery has begun',
      examples: [0],
    }),
  },
  { title: 'Cancelled', description: 'the number of messages', examples: [{ cancelled: 3, claimed: 0 }] },
)

export const ShiftBody = Type.Object(
  {
    ...Selection,
    byMs: Type.Integer({
      minimum: -253_402_300_799_999,
      maximum: 253_402_300_799_999,
      description: 'milliseconds by which the due times move; negative for earlier',
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
  { shifted: Type.Integer({ description: 'messages that were shifted', examples: [3] }) },
  { title: 'Shifted', description: 'the number of messages', examples: [{ shifted: 3 }] },
)
