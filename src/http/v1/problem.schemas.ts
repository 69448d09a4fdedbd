import { Type } from '@sinclair/typebox'
import { ItemReply } from './batch/schemas.ts'

const EXAMPLE_FIELD_ERROR = {
  path: '/at',
  message: 'looks like seconds: it must be epoch milliseconds (or ISO 8601)',
}
const EXAMPLE_PROBLEM = {
  type: 'about:blank',
  title: 'Bad Request',
  status: 400,
  detail: `at: ${EXAMPLE_FIELD_ERROR.message}`,
  errors: [EXAMPLE_FIELD_ERROR],
}

const EXAMPLE_RESULTS = [{ id: '~0VknCBoMfN7U', status: 503, detail: 'Redis is not answering' }]

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({
      description: 'about:blank, or a URN for each kind of failure that programs may want to tell apart',
      examples: ['about:blank', 'urn:carillon:problem:message-not-found'],
    }),
    title: Type.String({ description: "the status's name", examples: ['Bad Request'] }),
    status: Type.Integer({ description: 'the HTTP status', examples: [400] }),
    detail: Type.String({ description: 'what is wrong, in words', examples: [EXAMPLE_PROBLEM.detail] }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Type.String({ description: 'JSON pointer to the field, "" for all', examples: ['/at'] }),
            message: Type.String({
              description: 'what is wrong with it',
              examples: [EXAMPLE_FIELD_ERROR.message],
            }),
          },
          { title: 'FieldError', description: 'a field that is wrong', examples: [EXAMPLE_FIELD_ERROR] },
        ),
        { description: 'the fields that are wrong, 20 at most', examples: [EXAMPLE_PROBLEM.errors] },
      ),
    ),
    id: Type.Optional(
      Type.String({
        description:
          'with 503, where nobody knows whether a new message was stored: the id that it has if it was',
        examples: ['~0VknCBoMfN7U'],
      }),
    ),
    results: Type.Optional(
      Type.Array(ItemReply, {
        description: 'with 503 for a whole batch: what became of each message, in order',
        examples: [EXAMPLE_RESULTS],
      }),
    ),
  },
  { title: 'Problem', description: 'what went wrong (RFC 9457)', examples: [EXAMPLE_PROBLEM] },
)
