import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from '@sinclair/typebox'
import type { Advance } from '../../../clock/advance.ts'
import type { AdvanceResult, ClockView, TestClock } from '../../../clock/test-clock.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import { addOptionalJsonParser, withoutBodyEmpty } from '../../body/json-parser.ts'
import { parseFields } from '../../body/request-json.ts'
import { HttpError } from '../../errors/http-error.ts'
import { badBody } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { parseAt, parseDelay } from '../../validation/time.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import { AdvanceBody, AdvanceReply, ClockReply, ResetBody, RunBody } from './schemas.ts'

const MOST_STEPS = 100_000
const TIMEOUT_MS = 30_000
const BODY_BYTES = 4_096

const READ = route({
  operationId: 'getClock',
  tag: 'clock',
  summary: 'Read the test clock',
  description: 'What it shows, and what is to come. 404 without TEST_CLOCK, like all routes of the clock.',
  response: { 200: answer('the test clock', ClockReply) },
})

const FREEZE = route({
  operationId: 'freezeClock',
  tag: 'clock',
  summary: 'Freeze the test clock',
  description: 'It is frozen on all servers until it is set going or advanced.',
  response: { 200: answer('the test clock', ClockReply) },
  fails: ['CLOCK_BUSY'],
})

const RUN = route({
  operationId: 'runClock',
  tag: 'clock',
  summary: 'Let the test clock run',
  description: 'It continues from what it shows.',
  body: RunBody,
  bodyOptional: true,
  response: { 200: answer('the test clock', ClockReply) },
  fails: [badBody('rate: must be 0.001 to 100000 times as fast as real time (default 1)'), 'CLOCK_BUSY'],
})

const ADVANCE = route({
  operationId: 'advanceClock',
  tag: 'clock',
  summary: 'Advance the test clock',
  description:
    'Sets the clock to the next thing to happen, waits until all that is due is delivered, and repeats, until it ' +
    'reaches the target. So messages are delivered in order of time, each at its own millisecond, retries and ' +
    'messages that receivers create meanwhile included. Afterwards it is frozen if it was frozen before.',
  body: AdvanceBody,
  response: { 200: answer('the test clock, and what happened', AdvanceReply) },
  fails: [
    badBody('body: must have exactly one of by, to and next'),
    'CLOCK_BUSY',
    {
      status: 409,
      description: 'maxSteps or timeoutMs ended it; the problem says what it shows',
      detail: 'the clock stopped at 2030-01-01T09:00:00.000Z: 100000 steps were not enough',
    },
  ],
})

const RESET = route({
  operationId: 'resetClock',
  tag: 'clock',
  summary: 'Reset the test clock',
  description:
    'Deletes all messages if flush is true, and returns to real time, running. Without flush there must be none.',
  body: ResetBody,
  bodyOptional: true,
  response: { 200: answer('the test clock', ClockReply) },
  fails: [
    badBody('flush: must be true, as there are messages; the clock goes back only without any'),
    'CLOCK_BUSY',
  ],
})

/** The test clock; registered only with TEST_CLOCK. */
export const clockRoutes: FastifyPluginAsyncTypebox<{ testClock: TestClock }> = async (
  app,
  { testClock },
) => {
  addOptionalJsonParser(app, BODY_BYTES, parseFields)

  app.get('/clock', { schema: READ }, async () => toReply(await testClock.view()))

  app.post('/clock/freeze', { schema: FREEZE }, async () => toReply(await testClock.freeze()))

  app.post('/clock/run', { schema: RUN, preValidation: withoutBodyEmpty }, async ({ body }) =>
    toReply(await testClock.run(body.rate ?? 1)),
  )

  app.post('/clock/advance', { schema: ADVANCE }, async ({ body }) => {
    const result = await testClock.advance((now) => toAdvance(body, now))
    const { stoppedBecause, clock } = result
    const told = toResult(result)
    if (stoppedBecause === 'maxSteps' || stoppedBecause === 'timeoutMs') {
      const why = stoppedBecause === 'maxSteps' ? `${result.steps} steps were` : 'timeoutMs was'
      throw new HttpError({
        status: 409,
        detail: `the clock stopped at ${told.to}: ${why} not enough`,
        code: 'limit_reached',
        members: told,
      })
    }
    return { ...toReply(clock), ...told }
  })

  app.post('/clock/reset', { schema: RESET, preValidation: withoutBodyEmpty }, async ({ body }) => {
    const { flush = false, to } = body
    const at = to === undefined ? null : timeOr('/to', parseAt(to))
    const view = await testClock.reset(at, flush)
    if (view !== undefined) return toReply(view)
    throw refused('/flush', 'must be true, as there are messages; the clock goes back only without any')
  })
}

const refused = (path: string, message: string) => new InvalidRequestError([{ path, message }])

/** @throws InvalidRequestError for words that say what is wrong */
function timeOr(path: string, parsed: number | string): number {
  if (typeof parsed === 'string') throw refused(path, parsed)
  return parsed
}

/** @param now what the clock shows, epoch ms @throws InvalidRequestError */
function toAdvance(body: Static<typeof AdvanceBody>, now: number): Advance {
  const {
    by,
    to,
    next,
    jump = false,
    maxSteps = MOST_STEPS,
    timeoutMs = TIMEOUT_MS,
    waitForPullMs = 0,
  } = body
  if ([by, to, next].filter((each) => each !== undefined).length !== 1)
    throw refused('', 'must have exactly one of by, to and next')
  if (jump && next !== undefined) throw refused('/jump', 'must be false with next')
  const limits = { jump, maxSteps, timeoutMs, waitForPullMs, messages: next ?? Number.POSITIVE_INFINITY }
  if (by !== undefined) return { ...limits, to: now + timeOr('/by', parseDelay(by, now)) }
  if (to === undefined) return { ...limits, to: Number.POSITIVE_INFINITY }
  const at = timeOr('/to', parseAt(to))
  if (at < now) throw refused('/to', `must not be before the time of the clock, ${toIso(now)}`)
  return { ...limits, to: at }
}

const toReply = ({ now, nextDueAt, ...rest }: ClockView) => ({
  ...{ now: toIso(now), ...rest },
  nextDueAt: nextDueAt === null ? null : toIso(nextDueAt),
})

const toResult = ({ from, to, clock: _, messages, ...rest }: AdvanceResult) => ({
  ...{ from: toIso(from), to: toIso(to), ...rest },
  messages: messages.map(({ id, at, outcome }) => ({ id, at: toIso(at), outcome })),
})
