import { Type } from '@sinclair/typebox'
import { STOPPED } from '../../../clock/advance.ts'
import { OUTCOMES } from '../../../clock/outcomes.ts'
import { DelayIn, EXAMPLE_TIME, nullable, TimeIn, TimeOut, words } from '../../validation/fields.schemas.ts'

const count = (description: string) => Type.Integer({ description, examples: [3] })
const MOST_STEPS = 100_000
const MOST_WAIT_MS = 3_600_000

export const RunBody = Type.Object(
  {
    rate: Type.Optional(
      Type.Number({
        minimum: 0.001,
        maximum: 100_000,
        description: '0.001 to 100000 times as fast as real time (default 1)',
        examples: [60],
      }),
    ),
  },
  { additionalProperties: false, title: 'RunClock', description: 'how fast', examples: [{ rate: 60 }] },
)

export const AdvanceBody = Type.Object(
  {
    by: Type.Optional(DelayIn('how far')),
    to: Type.Optional(TimeIn('; not before the time of the clock')),
    next: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: '1 to 1000000 messages that are to fall due',
        examples: [10],
      }),
    ),
    jump: Type.Optional(
      Type.Boolean({
        description: 'true or false: set the clock at once, without the steps in between (default false)',
        examples: [false],
      }),
    ),
    maxSteps: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MOST_STEPS,
        description: '1 to 100000 steps at most (default 100000)',
        examples: [MOST_STEPS],
      }),
    ),
    timeoutMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MOST_WAIT_MS,
        description: '1 to 3600000 real milliseconds at most (default 30000)',
        examples: [30_000],
      }),
    ),
    waitForPullMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MOST_WAIT_MS,
        description:
          '0 to 3600000 real milliseconds for pull workers at each step (default 0: it passes leases by)',
        examples: [0],
      }),
    ),
  },
  {
    additionalProperties: false,
    title: 'AdvanceClock',
    description: 'exactly one of by, to and next',
    examples: [{ by: '3d' }],
  },
)

export const ResetBody = Type.Object(
  {
    flush: Type.Optional(
      Type.Boolean({
        description: 'true or false: delete all messages of the namespace (default false)',
        examples: [true],
      }),
    ),
    to: Type.Optional(TimeIn('; where the clock begins, in the past too (default: real time)')),
  },
  {
    additionalProperties: false,
    title: 'ResetClock',
    description: 'what to reset',
    examples: [{ flush: true }],
  },
)

const VIEW = {
  now: TimeOut('what the clock shows'),
  mode: words(['running', 'frozen'], 'whether it moves by itself'),
  offsetMs: Type.Integer({ description: 'how far it is ahead of real time, ms', examples: [259_200_000] }),
  pending: count('messages that are scheduled or claimed'),
  nextDueAt: nullable(TimeOut('when the next message is due'), 'when the next message is due, or null', [
    EXAMPLE_TIME,
  ]),
  busy: Type.Boolean({ description: 'whether a request changes the clock just now', examples: [false] }),
}
const VIEW_EXAMPLE = {
  ...{ now: EXAMPLE_TIME, mode: 'frozen', offsetMs: 259_200_000, pending: 3 },
  ...{ nextDueAt: EXAMPLE_TIME, busy: false },
}

export const ClockReply = Type.Object(VIEW, {
  title: 'Clock',
  description: 'the test clock',
  examples: [VIEW_EXAMPLE],
})

const ADVANCED = {
  from: TimeOut('what the clock showed before'),
  to: TimeOut('what it showed at the end'),
  steps: count('times at which something happened'),
  delivered: count('messages delivered'),
  failed: count('attempts that failed, and will be repeated'),
  dead: count('messages that became dead letters'),
  dropped: count('messages dropped as too late'),
  messages: Type.Array(
    Type.Object(
      {
        id: Type.String({ description: "the message's id", examples: ['reminder'] }),
        at: TimeOut('when, by the clock'),
        outcome: words(OUTCOMES, 'what became of it'),
      },
      {
        title: 'ClockOutcome',
        description: 'what became of a message',
        examples: [{ id: 'reminder', at: EXAMPLE_TIME, outcome: 'delivered' }],
      },
    ),
    {
      description: 'the first 1,000 of them, in order of time',
      examples: [[{ id: 'reminder', at: EXAMPLE_TIME, outcome: 'delivered' }]],
    },
  ),
  stoppedBecause: words(STOPPED, 'why it went no further'),
}
export const ADVANCE_EXAMPLE = {
  ...{ from: EXAMPLE_TIME, to: EXAMPLE_TIME, steps: 1, delivered: 1, failed: 0, dead: 0, dropped: 0 },
  messages: [{ id: 'reminder', at: EXAMPLE_TIME, outcome: 'delivered' }],
  stoppedBecause: 'target',
}

export const AdvanceReply = Type.Object(
  { ...VIEW, ...ADVANCED },
  {
    title: 'ClockAdvanced',
    description: 'the test clock, and what happened',
    examples: [{ ...VIEW_EXAMPLE, ...ADVANCE_EXAMPLE }],
  },
)
