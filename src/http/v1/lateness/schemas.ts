import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut, TimeQuery } from '../../validation/fields.schemas.ts'

export const LatenessQuery = Type.Object(
  {
    from: Type.Optional(TimeQuery('minutes that end after this time (default: one hour ago)')),
    to: Type.Optional(TimeQuery('minutes that begin before this time (default: now)')),
  },
  { additionalProperties: false, description: 'from and to' },
)

const EXAMPLE_LATENESS = { count: 120, p50: 1, p99: 6, max: 38 }

const lateness = {
  count: Type.Integer({ description: 'deliveries that began', examples: [EXAMPLE_LATENESS.count] }),
  p50: nullable(Type.Integer(), 'half of them began at most so late, ms; null if none began', [1]),
  p99: nullable(Type.Integer(), '99 % of them began at most so late, ms; null if none began', [6]),
  max: nullable(Type.Integer(), 'how late the latest of them began, ms; null if none began', [38]),
}

const EXAMPLE_MINUTE = { at: EXAMPLE_TIME, ...EXAMPLE_LATENESS }

export const LatenessReply = Type.Object(
  {
    ...lateness,
    minutes: Type.Array(
      Type.Object(
        { at: TimeOut('when the minute begins'), ...lateness },
        { title: 'LatenessMinute', description: 'a minute', examples: [EXAMPLE_MINUTE] },
      ),
      { description: 'the minutes in which deliveries began, in order', examples: [[EXAMPLE_MINUTE]] },
    ),
  },
  {
    title: 'Lateness',
    description: 'how late deliveries began, in all and by minute',
    examples: [{ ...EXAMPLE_LATENESS, minutes: [EXAMPLE_MINUTE] }],
  },
)
