import fc from 'fast-check'
import { DESTINATIONS, laneOf } from '../../../../src/destinations/registry.ts'
import type { Destination, OnLate, RetryPolicy } from '../../../../src/domain/message.ts'
import type { Release } from '../../../../src/store/scripts/settle.ts'
import type { ClaimRoom } from '../../../support/claim-all.ts'
import { SETTINGS } from '../../../support/retention.ts'

/**
 * Time in these tests. The scripts' clock is Redis's and runs on by itself, so nothing may hang on a few seconds:
 * it is moved in whole STEPs, while every time that is compared with it lies between two of them, due times and
 * not-afters by a half and delays by a quarter. A run takes far less than a quarter of a STEP. What a script
 * reckons from its clock the model learns from its answer, after a look at whether it can be.
 */
export const STEP = 100_000

export const HALF = STEP / 2

export const QUARTER = STEP / 4

export const LOCK_MS = 2 * STEP + HALF

export const OUR_SETTINGS = {
  ...SETTINGS,
  retention: {
    ...{ historyMax: 2, historyTtlMs: 6 * STEP + HALF, dedupWindowMs: 3_600_000 },
    ...{ deadMax: 2, deadTtlMs: 5 * STEP + HALF },
  },
  // Without jitter, as the model cannot know it, and such that every wait ends between two STEPs.
  retry: {
    ...{ attempts: 3, minMs: STEP + QUARTER, maxMs: 3 * STEP + QUARTER, factor: 2 },
    jitter: 'none' as const,
  },
  maxRecoveries: 1,
}

export const LATEST = 253_402_300_799_999

export const TAGS = ['red', 'blue']

export const CLIENT_IDS = ['a', 'b', 'c', '__proto__']

export const SERVER_IDS = ['~1', '~2', '~3', '~4']

export const ALL_IDS = [...CLIENT_IDS, ...SERVER_IDS]

export const HOSTS = ['http://one.test', 'https://two.test:8080']

const SHARED_LANES: readonly Destination[] = [
  { type: 'webhook', url: `${HOSTS[0]}/a`, timeoutMs: 500 },
  { type: 'webhook', url: `${HOSTS[0]}/b` },
  { type: 'webhook', url: `${HOSTS[1]}/` },
  { type: 'pull', queue: 'q' },
  { type: 'stream', name: 's' },
]

/** Some that share a lane, and the example of every other kind. The console is where a message without one goes. */
const destinations: readonly Destination[] = [
  ...SHARED_LANES,
  ...DESTINATIONS.filter((kind) => !SHARED_LANES.some(({ type }) => type === kind.type))
    .map(({ schema }) => schema.examples[0] as Destination)
    .filter((example) => laneOf(example) !== ''),
]

/** The lanes of hosts and queues. */
export const LANES = [...new Set(destinations.map(laneOf))].filter((lane) => lane.includes(':'))

export const PAUSES = [
  'all',
  'lane:',
  'lane:stream',
  ...LANES.map((lane) => `lane:${lane}`),
  ...TAGS.map((tag) => `tag:${tag}`),
]

export const POLICIES: readonly RetryPolicy[] = [
  { attempts: 1 },
  { minMs: 2 * STEP + QUARTER },
  { attempts: 7, factor: 1 },
  { maxMs: QUARTER },
]

export const PAYLOADS: Readonly<Record<string, unknown>> = {
  text: 'one',
  object: { two: [2] },
  large: 'x'.repeat(1_100),
}

/** Times as they are generated: STEPs from the begin of a run, or from now. */
export type AnyDue = { readonly atStep: number } | { readonly inSteps: number }

export type AnyOptions = {
  readonly tags?: string[] | undefined
  readonly notAfterStep?: number | undefined
  readonly onLate?: OnLate | undefined
  readonly destination?: Destination | undefined
  readonly retry?: RetryPolicy | undefined
}

const steps = fc.integer({ min: -2, max: 7 })

const soon = fc.integer({ min: -2, max: 3 })

const due: fc.Arbitrary<AnyDue> = fc.oneof(
  soon.map((atStep) => ({ atStep })),
  steps.map((atStep) => ({ atStep })),
  fc.integer({ min: 0, max: 4 }).map((inSteps) => ({ inSteps })),
)

const tags = fc.subarray(TAGS)

const onLate = fc.constantFrom<OnLate>('deliver', 'drop', 'dead-letter')

const payload = fc.constantFrom('text', 'object', 'large')

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

const destination = fc.constantFrom(...destinations)

const retry = fc.constantFrom(...POLICIES)

const options: fc.Arbitrary<AnyOptions> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ tags, destination, retry }, { requiredKeys: [] }) },
  {
    weight: 3,
    arbitrary: fc.record(
      { tags, destination, retry, notAfterStep: steps, onLate },
      { requiredKeys: ['notAfterStep'] },
    ),
  },
)

const changes = fc.record(
  {
    ...{ tags: maybe(tags), notAfterStep: maybe(steps), onLate: maybe(onLate) },
    ...{ destination: maybe(destination), retry: maybe(retry) },
  },
  { requiredKeys: [] },
)

const room: fc.Arbitrary<ClaimRoom> = fc.record({
  limit: fc.constantFrom(100, 100, 3, 1, 0),
  streamLimit: fc.constantFrom(100, 100, 1, 0),
  slots: fc.constantFrom(100, 100, 2, 1, 0),
  hostSlots: fc.constantFrom(100, 100, 1, 0, 0),
  reserve: fc.constant(0),
  lanes: fc
    .subarray(LANES)
    .chain((lanes) =>
      fc.tuple(...lanes.map((lane) => fc.tuple(fc.constant(lane), fc.constantFrom(100, 1, 0)))),
    )
    .map((lanes) => new Map(lanes)),
})

const states = fc.subarray(['scheduled', 'dead'] as const, { minLength: 1 })

const anyId = fc.constantFrom(...ALL_IDS)

const versions = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }) },
)

const message = fc.record({
  id: anyId,
  future: fc.boolean(),
  content: fc.record({ due, payload, options }),
})

/**
 * Which of a claim's messages: the claim counted from the newest, or from the newest that still holds some, and a bit
 * for each message.
 */
const some = {
  ...{ held: fc.constantFrom(true, true, true, false), claim: fc.integer({ min: 0, max: 2 }) },
  mask: fc.oneof(fc.constant(255), fc.integer({ min: 1, max: 255 })),
}

const kind = fc.constantFrom<Release['why']>(
  'failed',
  'failed',
  'postponed',
  'rejected',
  'returned',
  'deferred',
)

export const operation = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('schedule' as const),
      messages: fc.array(message, { minLength: 1, maxLength: 4 }),
      again: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant('reschedule' as const), id: anyId, due: maybe(due), payload: maybe(payload) },
      ...{ options: changes, versions },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('cancel' as const), ids: fc.subarray(ALL_IDS, { minLength: 1, maxLength: 3 }) },
      ...{ versions, states },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('shift' as const), ids: fc.subarray(ALL_IDS, { minLength: 1 }) },
      bySteps: fc.integer({ min: -3, max: 3 }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({ do: fc.constant('claim' as const), room }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), ...some }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('extend' as const), ...some }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('release' as const),
      ...some,
      kinds: fc.array(kind, { minLength: 1, maxLength: 3 }),
      steps: fc.integer({ min: 0, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ do: fc.constant('redrive' as const), ids: fc.subarray(ALL_IDS, { minLength: 5 }) },
      fromStep: fc.option(steps),
      ...{ everySteps: fc.constantFrom(0, 1), before: fc.integer({ min: 0, max: 2 }) },
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pass' as const), steps: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('forget' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pause' as const),
      fields: fc.oneof(fc.subarray(PAUSES), fc.subarray(TAGS.map((tag) => `tag:${tag}`)), fc.constant([])),
    }),
  },
)

export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** The operations of one kind. */
export type Of<Kind extends Operation['do']> = Extract<Operation, { do: Kind }>
