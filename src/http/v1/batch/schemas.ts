import { type Static, Type } from '@sinclair/typebox'
import { EXAMPLE_TIME } from '../../validation/fields.schemas.ts'
import { NewMessageBody } from '../messages/schemas.ts'
import { Code } from '../problem-code.schemas.ts'

/** The result of one message of many. */
const ItemReplyFields = {
  id: Type.Optional(
    Type.String({
      description: "the message's id; omitted if a refused message has no valid id",
      examples: ['invoice-4711-reminder'],
    }),
  ),
  status: Type.Integer({
    description:
      '201 stored; 200 id in use with the same content; 400 invalid; 409 id in use with different content; ' +
      '413 too large; 503 not confirmed by Redis: it may or may not be stored',
    examples: [201],
  }),
  code: Type.Optional(Code),
  detail: Type.Optional(
    Type.String({
      description: 'what is wrong; omitted with 200 and 201',
      examples: ['payload: is missing; it must be any JSON value'],
    }),
  ),
}

const EXAMPLE_ITEMS = [
  { id: '~0VknCBoMfN7U', status: 201 },
  { status: 400, code: 'invalid', detail: 'payload: is missing; it must be any JSON value' },
]

export const ItemReply = Type.Object(ItemReplyFields, {
  title: 'BatchResult',
  description: 'the result of one message',
  examples: EXAMPLE_ITEMS,
})
export type ItemReply = Static<typeof ItemReply>

const MOST_ITEMS = 10_000

export const BatchBody = Type.Object(
  {
    // Each message is validated by itself, as one that is wrong fails alone: here it is described and not checked.
    messages: Type.Array(Type.Unknown({ ...structuredClone(NewMessageBody) }), {
      maxItems: MOST_ITEMS,
      description: 'an array of up to 10,000 messages',
      examples: [[{ at: EXAMPLE_TIME, payload: 'good morning' }]],
    }),
  },
  {
    title: 'Batch',
    additionalProperties: false,
    description: 'a JSON object with messages, an array of up to 10,000',
    examples: [{ messages: [{ at: EXAMPLE_TIME, payload: 'good morning' }] }],
  },
)
export type BatchBody = Static<typeof BatchBody>

export const BatchReply = Type.Object(
  {
    results: Type.Array(ItemReply, {
      description: 'one for each message, in order',
      examples: [EXAMPLE_ITEMS],
    }),
  },
  {
    title: 'BatchResults',
    description: 'the result of each message',
    examples: [{ results: EXAMPLE_ITEMS }],
  },
)

/** A stream, which no schema looks into. */
export const BatchLines = Type.Unknown({
  type: 'string',
  description: 'one message per line, as JSON; any number of lines; blank lines are skipped',
  examples: [`{"at":"${EXAMPLE_TIME}","payload":"good morning"}\n{"delay":"90s","payload":"tea"}\n`],
})

export const LineReplies = Type.Unknown({
  type: 'string',
  description:
    'one result per line, as JSON, in order, while the request is read: line, id, status, code, detail',
  examples: ['{"line":1,"id":"~0VknCBoMfN7U","status":201}\n{"line":2,"id":"~0VknCBoMfN7V","status":201}\n'],
})
