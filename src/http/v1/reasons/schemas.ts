import { Type } from '@sinclair/typebox'
import { REASONS } from '../../../reasons/reason.ts'
import { EVENTS } from '../../../reasons/timeline.ts'
import {
  EXAMPLE_TIME,
  literals,
  MessageId,
  nullable,
  STATUSES,
  TimeOut,
} from '../../validation/fields.schemas.ts'

const Reason = literals(REASONS, 'why a message is where it is', 'destination-full')

const Details = Type.Record(Type.String(), Type.Unknown(), {
  description:
    'what the reason is told with, absent where it is not known: target, by, note, attempt, lastError, server, ' +
    'lockUntil, inFlight, limit, oldestSince, queue, askedAt, ahead, perSecond and others',
  examples: [{ inFlight: 2, limit: 2, oldestSince: EXAMPLE_TIME, server: 'k2Jd9sLq0aXz' }],
})

const NullableTime = (description: string) =>
  nullable(TimeOut(description), `${description}; null where that is not known`, [EXAMPLE_TIME, null])

const EXAMPLE_WHY = {
  id: 'invoice-4711-reminder',
  status: 'scheduled',
  reason: 'destination-full',
  since: EXAMPLE_TIME,
  until: null,
  summary: 'It is due, but 2 of 2 are in flight to https://shop.example.com; the oldest has been for 12 s',
  details: { inFlight: 2, limit: 2, oldestSince: EXAMPLE_TIME, server: 'k2Jd9sLq0aXz' },
}

export const WhyReply = Type.Object(
  {
    id: MessageId,
    status: literals(
      [...STATUSES, 'stranded', 'unknown'],
      'its status; unknown: never seen here, or forgotten',
      'scheduled',
    ),
    reason: Reason,
    since: NullableTime('since when the reason holds'),
    until: NullableTime('until when the reason holds'),
    summary: Type.String({ description: 'one sentence for people', examples: [EXAMPLE_WHY.summary] }),
    details: Details,
  },
  { title: 'Why', description: 'why a message is where it is', examples: [EXAMPLE_WHY] },
)

const EXAMPLE_LATE = {
  lane: 'webhook:https://shop.example.com',
  reason: 'destination-full',
  count: 37,
  oldest: EXAMPLE_TIME,
  since: EXAMPLE_TIME,
  details: EXAMPLE_WHY.details,
}

const LateLane = Type.Object(
  {
    lane: Type.String({
      description: 'what they are for: console, stream, webhook: and an origin, pull: and a queue, or tags',
      examples: [EXAMPLE_LATE.lane],
    }),
    reason: Reason,
    count: Type.Integer({ description: 'overdue messages', examples: [37] }),
    oldest: TimeOut('when the first of them was due'),
    since: TimeOut('since when the reason holds, or the first was due'),
    details: Details,
  },
  { title: 'LateLane', description: 'what is overdue in a lane', examples: [EXAMPLE_LATE] },
)

export const LateReply = Type.Object(
  {
    late: Type.Array(LateLane, {
      description: 'lanes with overdue messages, longest overdue first; 200 at most',
      examples: [[EXAMPLE_LATE]],
    }),
    total: Type.Integer({
      description: 'overdue messages of all lanes, without those that a pause holds',
      examples: [37],
    }),
    paused: Type.Array(LateLane, {
      description: 'the same for lanes that are paused; 200 at most',
      examples: [[]],
    }),
  },
  {
    title: 'Late',
    description: 'what is overdue',
    examples: [{ late: [EXAMPLE_LATE], total: 37, paused: [] }],
  },
)

const EXAMPLE_ENTRY = {
  at: EXAMPLE_TIME,
  event: 'attempt',
  attempt: 1,
  claim: 4712,
  server: 'k2Jd9sLq0aXz',
  lateMs: 3,
  durationMs: 38,
  status: 503,
  body: 'try later',
}

const Entry = Type.Object(
  {
    at: TimeOut('when it happened'),
    event: literals(EVENTS, 'what happened', 'attempt'),
    by: Type.Optional(Type.String({ description: 'name of the API key that did it', examples: ['ops'] })),
    version: Type.Optional(Type.Integer({ description: 'the version after a change', examples: [2] })),
    server: Type.Optional(
      Type.String({
        description: 'id of the server that made the attempt; absent for attempts of pull workers',
        examples: [EXAMPLE_ENTRY.server],
      }),
    ),
    attempt: Type.Optional(Type.Integer({ description: 'number of the attempt, from 1', examples: [1] })),
    claim: Type.Optional(
      Type.Integer({ description: 'fencing token of the attempt', examples: [EXAMPLE_ENTRY.claim] }),
    ),
    lateMs: Type.Optional(
      Type.Integer({ description: 'how long after the due time it began, ms', examples: [3] }),
    ),
    durationMs: Type.Optional(Type.Integer({ description: 'duration, ms', examples: [38] })),
    status: Type.Optional(Type.Integer({ description: 'HTTP status of the response', examples: [503] })),
    reason: Type.Optional(Type.String({ description: 'what went wrong', examples: ['timeout'] })),
    body: Type.Optional(
      Type.String({
        description: 'the first 1 KiB of the response body of a failed attempt',
        examples: [EXAMPLE_ENTRY.body],
      }),
    ),
  },
  { title: 'TimelineEntry', description: 'something that happened to a message', examples: [EXAMPLE_ENTRY] },
)

export const TimelineReply = Type.Object(
  {
    id: MessageId,
    entries: Type.Array(Entry, {
      description:
        'in order of time: the last 5 changes, failed attempts, recoveries and redrives are kept; fields that do ' +
        'not apply are absent',
      examples: [[EXAMPLE_ENTRY]],
    }),
  },
  {
    title: 'Timeline',
    description: 'what happened to a message',
    examples: [
      { id: 'invoice-4711-reminder', entries: [{ at: EXAMPLE_TIME, event: 'created' }, EXAMPLE_ENTRY] },
    ],
  },
)
