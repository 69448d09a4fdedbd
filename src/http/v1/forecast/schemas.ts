import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, TimeOut, TimeQuery } from '../../validation/fields.schemas.ts'

export const ForecastQuery = Type.Object(
  {
    from: Type.Optional(TimeQuery('start of the first bucket (default: now)')),
    to: Type.Optional(TimeQuery('end of the last bucket (default: one hour after from)')),
    bucketMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 253_402_300_799_999,
        description:
          '1 or more milliseconds per bucket (default 60000), with at most 1000 buckets between from and to',
        examples: [60_000],
      }),
    ),
  },
  { additionalProperties: false, description: 'from, to and bucketMs' },
)

export const ForecastReply = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          at: TimeOut('start of the bucket'),
          count: Type.Integer({
            description: 'scheduled messages that are due in this bucket',
            examples: [12],
          }),
        },
        { title: 'Bucket', description: 'an interval of time', examples: [{ at: EXAMPLE_TIME, count: 12 }] },
      ),
      {
        description: 'in order of time, including empty buckets',
        examples: [[{ at: EXAMPLE_TIME, count: 12 }]],
      },
    ),
  },
  {
    title: 'Forecast',
    description: 'the upcoming load',
    examples: [{ buckets: [{ at: EXAMPLE_TIME, count: 12 }] }],
  },
)
