import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut } from '../../validation/fields.schemas.ts'

const EXAMPLE_LANE = 'webhook:https://api.shop'

const Lane = Type.String({
  minLength: 1,
  maxLength: 300,
  description: 'console, stream, pull: and the name of a queue, or webhook: and an origin (https://api.shop)',
  examples: [EXAMPLE_LANE],
})
export const LaneParams = Type.Object({ lane: Lane })
export const DestinationsQuery = Type.Object(
  { lane: Type.Optional(Lane) },
  { additionalProperties: false, description: 'lane' },
)

const count = (description: string, example = 0) =>
  Type.Integer({ minimum: 0, description, examples: [example] })
const quantile = (share: string) =>
  nullable(Type.Integer(), `${share} took at most so long, ms; null for none`, [210])

const EXAMPLE_QUANTILES = { p50: 210, p99: 8_100 }
const EXAMPLE_LATE = { p50: 1, p99: 6, max: 38 }
const EXAMPLE_ERROR = { at: EXAMPLE_TIME, reason: 'status 503' }

const EXAMPLE_PAUSE = {
  target: `destination:${EXAMPLE_LANE}`,
  ...{ note: 'the shop is migrating', by: 'ann', at: EXAMPLE_TIME, until: null },
}

const counts = {
  delivered: count('messages delivered', 12),
  failed: count('deliveries that failed', 2),
}
const measures = {
  retried: count('failed deliveries whose messages are due again', 2),
  dead: count('failed deliveries whose messages became dead letters'),
  codes: Type.Record(Type.String(), Type.Integer(), {
    description: 'how often which status was answered; where none was, for which reason. Webhooks only',
    examples: [{ 200: 12, 503: 2 }],
  }),
  durationMs: Type.Object(
    { p50: quantile('half of the deliveries'), p99: quantile('99 % of the deliveries') },
    {
      description: 'how long deliveries took: webhooks, and leases until they were settled',
      examples: [EXAMPLE_QUANTILES],
    },
  ),
  lateMs: Type.Object(
    {
      p50: nullable(Type.Integer(), 'half of them began at most so late, ms; null for none', [1]),
      p99: nullable(Type.Integer(), '99 % of them began at most so late, ms; null for none', [6]),
      max: nullable(Type.Integer(), 'how late the latest of them began, ms; null for none', [38]),
    },
    { description: 'how late deliveries began', examples: [EXAMPLE_LATE] },
  ),
}

const EXAMPLE_COUNTS = { delivered: 12, failed: 2 }
const EXAMPLE_MEASURES = {
  ...{ retried: 2, dead: 0, codes: { 200: 12, 503: 2 }, durationMs: EXAMPLE_QUANTILES, lateMs: EXAMPLE_LATE },
}

const fields = {
  lane: Type.String({
    description: 'console, stream, pull: and a queue, webhook: and an origin, or other for the rest',
    examples: [EXAMPLE_LANE],
  }),
  waiting: nullable(Type.Integer(), 'scheduled messages, due ones among them; null for other', [204]),
  due: nullable(Type.Integer(), 'messages that are due and not claimed; null for other', [30]),
  inFlight: nullable(
    Type.Integer(),
    'webhooks that are being delivered, on all servers; null for others',
    [32],
  ),
  limits: Type.Object(
    { concurrency: nullable(Type.Integer(), 'webhooks at a time on each server; null for no limit', [32]) },
    { description: 'what bounds deliveries to it', examples: [{ concurrency: 32 }] },
  ),
  paused: nullable(
    Type.Object(
      {
        target: Type.String({ description: 'what is paused', examples: [EXAMPLE_PAUSE.target] }),
        note: nullable(Type.String(), 'why; null without a note', ['the shop is migrating', null]),
        by: nullable(Type.String(), 'the name of the API key; null without keys', ['ann', null]),
        at: TimeOut('since when'),
        until: nullable(TimeOut('when it ends by itself'), 'when it ends by itself; null for never', [
          EXAMPLE_TIME,
          null,
        ]),
      },
      { description: 'a pause', examples: [EXAMPLE_PAUSE] },
    ),
    'the pause that holds its messages, as this server has last heard; null for none',
    [EXAMPLE_PAUSE, null],
  ),
  ...counts,
  ...measures,
  lastError: nullable(
    Type.Object(
      {
        at: TimeOut('when it failed'),
        reason: Type.String({ description: 'why, as in messages', examples: ['status 503'] }),
      },
      { description: 'a failure', examples: [EXAMPLE_ERROR] },
    ),
    'the last failure of the hour; null for none',
    [EXAMPLE_ERROR, null],
  ),
}
const EXAMPLE_DESTINATION = {
  ...{ lane: EXAMPLE_LANE, waiting: 204, due: 30, inFlight: 32, limits: { concurrency: 32 } },
  paused: null,
  ...{ ...EXAMPLE_COUNTS, ...EXAMPLE_MEASURES, lastError: EXAMPLE_ERROR },
}
const EXAMPLE_MINUTE = { at: EXAMPLE_TIME, ...EXAMPLE_COUNTS }
const EXAMPLE_WHOLE_MINUTE = { ...EXAMPLE_MINUTE, ...EXAMPLE_MEASURES }

const at = TimeOut('when the minute begins')

export const DestinationReply = Type.Object(
  {
    ...fields,
    minutes: Type.Array(
      Type.Object(
        { at, ...counts, ...measures },
        { title: 'WholeMinute', description: 'a minute', examples: [EXAMPLE_WHOLE_MINUTE] },
      ),
      {
        description: 'the minutes of the last hour in which something was delivered, in order',
        examples: [[EXAMPLE_WHOLE_MINUTE]],
      },
    ),
  },
  {
    title: 'DestinationTraffic',
    description: 'a destination, and what was delivered to it in the last hour',
    examples: [{ ...EXAMPLE_DESTINATION, minutes: [EXAMPLE_WHOLE_MINUTE] }],
  },
)

export const DestinationsReply = Type.Object(
  {
    destinations: Type.Array(
      Type.Object(
        {
          ...fields,
          minutes: Type.Array(
            Type.Object(
              { at, ...counts },
              { title: 'Minute', description: 'a minute', examples: [EXAMPLE_MINUTE] },
            ),
            {
              description: 'the minutes of the last hour in which something was delivered, in order',
              examples: [[EXAMPLE_MINUTE]],
            },
          ),
        },
        {
          title: 'DestinationSummary',
          description: 'a destination, and what was delivered to it in the last hour',
          examples: [{ ...EXAMPLE_DESTINATION, minutes: [EXAMPLE_MINUTE] }],
        },
      ),
      {
        description: 'those with the most due messages first, then the busiest; 200 at most, and other',
        examples: [[{ ...EXAMPLE_DESTINATION, minutes: [EXAMPLE_MINUTE] }]],
      },
    ),
  },
  {
    title: 'Destinations',
    description: 'the destinations with messages or deliveries',
    examples: [{ destinations: [{ ...EXAMPLE_DESTINATION, minutes: [EXAMPLE_MINUTE] }] }],
  },
)
