import { type Static, Type } from '@sinclair/typebox'
import { NewMessageBody } from './schemas.ts'

export const DeliverBody = Type.Object(
  {
    ignorePause: Type.Optional(
      Type.Boolean({
        description: 'true or false: whether to deliver it although it is paused (default false)',
        examples: [true],
      }),
    ),
  },
  {
    title: 'Deliver',
    additionalProperties: false,
    description: 'a JSON object, or no body',
    examples: [{ ignorePause: true }],
  },
)

/** What a copy has that its original has not: the fields of a new message but its id. */
export const CopyBody = Type.Partial(Type.Omit(NewMessageBody, ['id']), {
  title: 'Copy',
  additionalProperties: false,
  description: 'a JSON object with the fields that are different in the copy, or no body',
  examples: [{ delay: '5m' }, { destination: { type: 'pull', queue: 'mails' } }],
})
export type CopyBody = Static<typeof CopyBody>
