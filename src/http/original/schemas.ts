import { type Static, Type } from '@sinclair/typebox'

/** The original service's reply to a scheduled message. */
export const Scheduled = Type.Object(
  {
    status: Type.Literal('success', { description: 'always success', examples: ['success'] }),
    message: Type.Literal('message scheduled', {
      description: 'always the same words',
      examples: ['message scheduled'],
    }),
    id: Type.String({ description: 'the id the console line will carry', examples: ['~0VknCBoMfN7U'] }),
  },
  {
    title: 'Scheduled',
    description: 'the message is stored',
    examples: [{ status: 'success', message: 'message scheduled', id: '~0VknCBoMfN7U' }],
  },
)

/** The original service's one form for every failure. */
export const ErrorBody = Type.Object(
  {
    status: Type.Literal('error', { description: 'always error', examples: ['error'] }),
    message: Type.String({
      description: 'what is wrong, and in which field',
      examples: ['time: must be in the future'],
    }),
  },
  {
    title: 'Failure',
    description: 'what went wrong',
    examples: [{ status: 'error', message: 'time: must be in the future' }],
  },
)
export type ErrorBody = Static<typeof ErrorBody>

/** An answer with status 200 that always has the same words. */
const healthyAnswer = <const M extends string>(title: string, message: M, description: string) =>
  Type.Object(
    {
      status: Type.Literal('success', { description: 'always success', examples: ['success'] }),
      message: Type.Literal(message, { description: 'always the same words', examples: [message] }),
    },
    { title, description, examples: [{ status: 'success', message }] },
  )

export const Healthy = healthyAnswer(
  'Healthy',
  'server is ok!',
  'the server is healthy, and Redis answered it',
)
export const Ready = healthyAnswer('Ready', 'server is ready', 'the server is ready for work')
export const Alive = healthyAnswer('Alive', 'server is alive', 'the process runs')

/** What the original service took; it ignored unknown fields, and so do we here. */
export const EchoAtTimeBody = Type.Object(
  {
    time: Type.Union([Type.String(), Type.Number()], {
      description:
        'epoch milliseconds or seconds (up to 11 digits are seconds), as a number or digits, ' +
        'or ISO 8601 with an offset or Z',
      examples: ['2030-01-01T09:00:00Z', 1893488400000],
    }),
    message: Type.String({ description: 'a string', examples: ['good morning'] }),
  },
  {
    title: 'EchoAtTime',
    description: 'a JSON object with time and message',
    examples: [{ time: '2030-01-01T09:00:00Z', message: 'good morning' }],
  },
)
