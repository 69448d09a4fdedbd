import { Type } from '@sinclair/typebox'
import { ItemReply } from './batch/schemas.ts'
import { Code } from './problem-code.schemas.ts'

const EXAMPLE_FIELD_ERROR = {
  path: '/at',
  message: 'looks like seconds: it must be epoch milliseconds (or ISO 8601)',
}
const EXAMPLE_PROBLEM = {
  type: 'about:blank',
  title: 'Bad Request',
  status: 400,
  code: 'invalid',
  detail: `at: ${EXAMPLE_FIELD_ERROR.message}`,
  errors: [EXAMPLE_FIELD_ERROR],
}

const EXAMPLE_RESULTS = [
  { id: '~0VknCBoMfN7U', status: 503, code: 'store_unavailable', detail: 'Redis is not answering' },
]

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({
      description: 'about:blank, or a URN that identifies the kind of error',
      examples: ['about:blank', 'urn:carillon:problem:message-not-found'],
    }),
    title: Type.String({ description: 'the name of the status', examples: ['Bad Request'] }),
    status: Type.Integer({ description: 'the HTTP status', examples: [400] }),
    code: Code,
    detail: Type.String({ description: 'what is wrong', examples: [EXAMPLE_PROBLEM.detail] }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Type.String({
              description: 'JSON pointer to the field; "" for the whole body',
              examples: ['/at'],
            }),
            message: Type.String({
              description: 'what is wrong with it',
              examples: [EXAMPLE_FIELD_ERROR.message],
            }),
          },
          { title: 'FieldError', description: 'an invalid field', examples: [EXAMPLE_FIELD_ERROR] },
        ),
        { description: 'the invalid fields, 20 at most', examples: [EXAMPLE_PROBLEM.errors] },
      ),
    ),
    id: Type.Optional(
      Type.String({
        description:
          'with 503, if it is unknown whether a new message was stored: the id that it has if it was',
        examples: ['~0VknCBoMfN7U'],
      }),
    ),
    results: Type.Optional(
      Type.Array(ItemReply, {
        description: 'with 503 for a whole batch: the result of each message, in order',
        examples: [EXAMPLE_RESULTS],
      }),
    ),
  },
  { title: 'Problem', description: 'an error (RFC 9457)', examples: [EXAMPLE_PROBLEM] },
)
