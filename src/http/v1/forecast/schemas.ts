import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, TimeOut, TimeQuery } from '../../validation/fields.schemas.ts'

export const ForecastQuery = Type.Object(
  {
    from: Type.Optional(TimeQuery('where the first bucket begins (now unless given)')),
    to: Type.Optional(TimeQuery('where the last bucket ends (an hour after from unless given)')),
    bucketMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 253_402_300_799_999,
        description:
          'how long each bucket is, ms: 1 or more (60000 unless given), and at most 1000 buckets between from and to',
        examples: [60_000],
      }),
    ),
  },
  { additionalProperties: false, description: 'from (now), to (an hour later) and bucketMs (60000)' },
)

export const ForecastReply = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          at: TimeOut('where the bucket begins'),
          count: Type.Integer({
            description: 'scheduled messages due from there to the next bucket',
            examples: [12],
          }),
        },
        { title: 'Bucket', description: 'a span of time', examples: [{ at: EXAMPLE_TIME, count: 12 }] },
      ),
      {
        description: 'from first to last, empty ones included',
        examples: [[{ at: EXAMPLE_TIME, count: 12 }]],
      },
    ),
  },
  {
    title: 'Forecast',
    description: 'the load ahead',
    examples: [{ buckets: [{ at: EXAMPLE_TIME, count: 12 }] }],
  },
)
