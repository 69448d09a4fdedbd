import { Type } from '@sinclair/typebox'
import { TARGET_FORMS } from '../../../pauses/target.ts'
import { DelayIn, EXAMPLE_TIME, nullable, TimeIn, TimeOut } from '../../validation/fields.schemas.ts'

const EXAMPLE_TARGET = 'destination:webhook:https://shop.example.com'
const MOST_NOTE = 500

const Target = Type.String({
  minLength: 1,
  maxLength: 400,
  description: `${TARGET_FORMS} (a lane: console, stream, or webhook: and an origin)`,
  examples: [EXAMPLE_TARGET],
})

export const TargetParams = Type.Object({ target: Target })
export const TargetQuery = Type.Object(
  { target: Target },
  {
    additionalProperties: false,
    description: 'the target, instead of in the path',
    examples: [{ target: 'all' }],
  },
)

export const PauseBody = Type.Object(
  {
    target: Target,
    note: Type.Optional(
      Type.String({
        maxLength: MOST_NOTE,
        description: `up to ${MOST_NOTE} characters for people: why`,
        examples: ['the shop is migrating'],
      }),
    ),
    until: Type.Optional(TimeIn('; when the pause ends by itself (default: never)')),
  },
  {
    title: 'NewPause',
    additionalProperties: false,
    description: 'a JSON object with target, and optionally note and until',
    examples: [{ target: EXAMPLE_TARGET, note: 'the shop is migrating', until: EXAMPLE_TIME }],
  },
)

export const ResumeBody = Type.Object(
  {
    spread: Type.Optional(DelayIn('what waits falls due evenly over this time')),
    perSecond: Type.Optional(
      Type.Number({
        minimum: 0.000_001,
        maximum: 1_000_000,
        description: '0.000001 to 1000000 messages per second that fall due (default: all at once)',
        examples: [50],
      }),
    ),
    skipOlderThan: Type.Optional(
      DelayIn('what was due longer ago becomes a dead letter with reason skipped'),
    ),
  },
  {
    title: 'Resume',
    additionalProperties: false,
    description: 'a JSON object with any of spread or perSecond, and skipOlderThan; or no body',
    examples: [{ spread: '10m', skipOlderThan: '1h' }],
  },
)

const EXAMPLE_PAUSE = {
  target: EXAMPLE_TARGET,
  note: 'the shop is migrating',
  by: 'ann',
  at: EXAMPLE_TIME,
  until: null,
  resuming: null,
}

const Resuming = Type.Object(
  {
    at: TimeOut('when it was resumed'),
    until: TimeOut('when the last message falls due'),
  },
  {
    title: 'Resuming',
    description: 'how it is being resumed',
    examples: [{ at: EXAMPLE_TIME, until: EXAMPLE_TIME }],
  },
)

const shown = {
  target: Type.String({ description: 'what is paused, by its one name', examples: [EXAMPLE_TARGET] }),
  note: nullable(Type.String(), 'why; null without one', ['the shop is migrating', null]),
  by: nullable(Type.String(), 'the name of the API key that paused it; null without keys', ['ann', null]),
  at: TimeOut('since when'),
  until: nullable(TimeOut('when it ends by itself'), 'when it ends by itself; null for never', [
    EXAMPLE_TIME,
    null,
  ]),
  resuming: nullable(Resuming, 'how it is being resumed; null while it is paused', [null]),
}

const IgnoredBy = Type.Optional(
  Type.Array(Type.String({ description: 'the id of a server', examples: ['TBzO9lSDNTIK'] }), {
    description:
      'ids of running servers of an older version, which do not know pauses; omitted if there are none',
    examples: [['TBzO9lSDNTIK']],
  }),
)

export const PauseReply = Type.Object(
  { ...shown, ignoredBy: IgnoredBy },
  { title: 'Pause', description: 'a pause', examples: [EXAMPLE_PAUSE] },
)

const EXAMPLE_LISTED = { ...EXAMPLE_PAUSE, waiting: 1200 }

export const PausesReply = Type.Object(
  {
    pauses: Type.Array(
      Type.Object(
        {
          ...shown,
          waiting: Type.Integer({ description: 'due messages that it holds', examples: [1200] }),
        },
        { title: 'ListedPause', description: 'a pause, and what it holds', examples: [EXAMPLE_LISTED] },
      ),
      { description: 'the oldest first', examples: [[EXAMPLE_LISTED]] },
    ),
    ignoredBy: IgnoredBy,
  },
  { title: 'Pauses', description: 'all that is paused', examples: [{ pauses: [EXAMPLE_LISTED] }] },
)

const EXAMPLE_RESUMED = { target: EXAMPLE_TARGET, waiting: 1200, until: EXAMPLE_TIME }

export const ResumeReply = Type.Object(
  {
    target: shown.target,
    waiting: Type.Integer({ description: 'due messages that it held', examples: [1200] }),
    until: nullable(
      TimeOut('when the last of them falls due'),
      'when the last of them falls due; null if all are due now',
      [EXAMPLE_TIME, null],
    ),
  },
  { title: 'Resumed', description: 'what was resumed', examples: [EXAMPLE_RESUMED] },
)
