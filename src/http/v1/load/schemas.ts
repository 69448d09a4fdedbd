import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut } from '../../validation/fields.schemas.ts'

const count = (description: string, example: number) =>
  Type.Integer({ minimum: 0, description, examples: [example] })

const EXAMPLE_DUE = { s10: 12, m1: 214, m5: 980 }
const EXAMPLE_LOAD = {
  ...{ overdue: 0, oldestOverdueMs: 0, due: EXAMPLE_DUE, peakPerSecond: 9, peakAt: EXAMPLE_TIME },
  ...{ inFlight: 41, capacity: 512 },
}

export const LoadReply = Type.Object(
  {
    overdue: count('messages that are due and not claimed, of all destinations', 0),
    oldestOverdueMs: count('for how long the first of them has been due, ms; 0 if none is', 0),
    due: Type.Object(
      {
        s10: count('within 10 s', EXAMPLE_DUE.s10),
        m1: count('within 1 min', EXAMPLE_DUE.m1),
        m5: count('within 5 min', EXAMPLE_DUE.m5),
      },
      {
        description: 'messages that fall due from now on; overdue ones do not count',
        examples: [EXAMPLE_DUE],
      },
    ),
    peakPerSecond: count('messages that fall due in the busiest second of the next minute', 9),
    peakAt: nullable(
      TimeOut('when that second begins'),
      'when that second begins; null if nothing falls due in the next minute',
      [EXAMPLE_TIME, null],
    ),
    inFlight: count('webhooks that are being delivered, on all servers', EXAMPLE_LOAD.inFlight),
    capacity: count('webhooks that all servers deliver at a time', EXAMPLE_LOAD.capacity),
  },
  { title: 'Load', description: 'what is due, what is coming, and the capacity', examples: [EXAMPLE_LOAD] },
)
