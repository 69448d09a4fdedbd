import { type Static, Type } from '@sinclair/typebox'

/** The original service's reply to a scheduled message. */
export const Scheduled = Type.Object({
  status: Type.Literal('success'),
  message: Type.Literal('message scheduled'),
  id: Type.String({ description: 'the id the console line will carry' }),
})

/** The original service's one form for every failure. */
export const Failure = Type.Object({
  status: Type.Literal('error'),
  message: Type.String({ description: 'what is wrong, and in which field' }),
})
export type Failure = Static<typeof Failure>

export const Healthy = Type.Object({
  status: Type.Literal('success'),
  message: Type.Literal('server is ok!'),
})

/** What the original service took; it ignored unknown fields, and so do we here. */
export const EchoAtTimeBody = Type.Object(
  {
    time: Type.Union([Type.String(), Type.Number()], {
      description:
        'epoch milliseconds or seconds (up to 11 digits are seconds), as a number or digits, or ISO 8601 with an offset or Z',
    }),
    message: Type.String({ description: 'a string' }),
  },
  { description: 'a JSON object with time and message' },
)
