import { Type } from '@sinclair/typebox'
import { TimeOut } from '../../validation/fields.schemas.ts'

export const EXAMPLE_ATTEMPT = {
  at: '2030-01-01T09:00:00.004Z',
  claim: 4712,
  status: 410,
  durationMs: 38,
  error: 'answered 410',
  body: 'no such hook',
  server: 'k2Jd9sLq0aXz',
}

/** A failed delivery as it is answered. */
export const Attempt = Type.Object(
  {
    at: TimeOut('when the attempt began'),
    claim: Type.Integer({
      description:
        'a fencing token that grows with each claim of the message; receivers get it as carillon-claim',
      examples: [EXAMPLE_ATTEMPT.claim],
    }),
    status: Type.Optional(
      Type.Integer({
        description: 'HTTP status of the response, if there was one',
        examples: [EXAMPLE_ATTEMPT.status],
      }),
    ),
    durationMs: Type.Integer({
      description: 'duration, ms',
      examples: [EXAMPLE_ATTEMPT.durationMs],
    }),
    error: Type.Optional(Type.String({ description: 'what went wrong', examples: [EXAMPLE_ATTEMPT.error] })),
    body: Type.Optional(
      Type.String({
        description: 'the first 1 KiB of the response body',
        examples: [EXAMPLE_ATTEMPT.body],
      }),
    ),
    server: Type.Optional(
      Type.String({
        description: 'id of the server that made the attempt; absent for attempts of pull workers',
        examples: [EXAMPLE_ATTEMPT.server],
      }),
    ),
  },
  { title: 'Attempt', description: 'a failed delivery', examples: [EXAMPLE_ATTEMPT] },
)
