import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut } from '../../validation/fields.schemas.ts'

const EXAMPLE_ACT = {
  key: 'ops',
  act: 'redrive',
  target: 'destination=webhook:https://api.shop',
  count: 120,
  at: EXAMPLE_TIME,
  note: 'operation Wm3xkT0bYv2Q',
}

const ActReply = Type.Object(
  {
    key: nullable(Type.String(), 'the name of the API key; null without keys', ['ops', null]),
    act: Type.String({ description: 'what was done', examples: [EXAMPLE_ACT.act] }),
    target: Type.String({
      description: 'the id of a message or an operation, or which messages, in words',
      examples: [EXAMPLE_ACT.target],
    }),
    count: Type.Integer({ description: 'messages that it was about', examples: [EXAMPLE_ACT.count] }),
    at: TimeOut('when it was done'),
    note: nullable(Type.String(), 'more about it, if there is more', [EXAMPLE_ACT.note, null]),
  },
  { title: 'Act', description: 'something that was done', examples: [EXAMPLE_ACT] },
)

export const AuditReply = Type.Object(
  {
    audit: Type.Array(ActReply, {
      description: 'the last 1000 acts, the newest first',
      examples: [[EXAMPLE_ACT]],
    }),
  },
  { title: 'Audit', description: 'who did what', examples: [{ audit: [EXAMPLE_ACT] }] },
)
