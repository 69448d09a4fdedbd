import fc from 'fast-check'
import { describe, expect, inject, it } from 'vitest'
import type { Release } from '../../../../src/store/scripts/settle.ts'
import { WIDE } from '../../../support/claim-all.ts'
import { checkKeys } from '../../../support/invariants.ts'
import { useScripts } from '../../../support/script-world.ts'
import { ALL_IDS, type AnyOptions, type Operation, OUR_SETTINGS, operation } from './operations.ts'
import { Run } from './run.ts'

const RUNS = 200

const schedule = (id: string, options: AnyOptions = {}): Operation => ({
  do: 'schedule',
  messages: [{ id, future: false, content: { due: { inSteps: 0 }, payload: 'text', options } }],
  again: false,
})

const LET_PASS: Operation = { do: 'pass', steps: 4 }

const CLAIM: Operation = { do: 'claim', room: WIDE }

const ALL = { held: true, claim: 0, mask: 255 }

const release = (...kinds: Release['why'][]): Operation => ({ do: 'release', ...ALL, kinds, steps: 1 })

/** What chance might not bring about in so many runs: reaching for messages that are dead or finished, */
const RARE: Operation[] = [
  schedule('a', { notAfterStep: 1, onLate: 'dead-letter' }),
  ...[LET_PASS, CLAIM],
  { do: 'cancel', ids: ['a'], versions: null, states: ['scheduled'] },
  schedule('b'),
  ...[LET_PASS, CLAIM],
  { do: 'acknowledge', ...ALL },
  { do: 'cancel', ids: ['b'], versions: null, states: ['scheduled'] },
  { do: 'reschedule', id: 'b', due: undefined, payload: undefined, options: {}, versions: null },
]

/** and every end of a claim. */
const ENDS: Operation[] = [
  ...[schedule('a', { retry: { attempts: 1 } }), schedule('b'), schedule('c')],
  ...[schedule('~1', { retry: { attempts: 1 } }), schedule('~2')],
  ...[LET_PASS, CLAIM],
  { do: 'extend', ...ALL },
  release('failed', 'postponed', 'rejected', 'deferred', 'returned'),
  { do: 'redrive', ids: ALL_IDS, fromStep: null, everySteps: 1, before: 0 },
  ...[
    LET_PASS,
    CLAIM,
    release('failed'),
    LET_PASS,
    CLAIM,
    release('failed'),
    LET_PASS,
    CLAIM,
    release('failed'),
  ],
]

/** A tag that is paused has messages set aside, which come back, also on a machine that makes few runs in its time. */
const HELD: Operation[] = [
  { do: 'pause', fields: ['tag:red'] },
  ...[schedule('a', { tags: ['red'] }), schedule('b'), schedule('c', { tags: ['red', 'blue'] })],
  ...[LET_PASS, CLAIM],
  { do: 'pause', fields: ['tag:blue'] },
  CLAIM,
  { do: 'pause', fields: ['lane:'] },
  CLAIM,
]

describe('the scripts, against a plain model in memory', () => {
  const world = useScripts(() => inject('redisUrl'), 0, OUR_SETTINGS)

  it('agree on every answer, on all that is stored, and on what gets delivered, whatever is done', async () => {
    const w = world()
    const seen = new Map<string, number>()
    let shard = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 1, maxLength: 45, size: 'max' }),
        async (operations) => {
          shard += 1
          const run = new Run(w, shard, await w.now(), seen)
          for (const operation of operations) {
            await run.do(operation)
            await checkKeys(w, shard)
          }
          await run.compare()
          await run.drain()
          await run.compare()
          await run.clear()
        },
      ),
      { numRuns: RUNS, interruptAfterTimeLimit: 15_000, examples: [[RARE], [ENDS], [HELD]] },
    )
    // A model that agrees because nothing ever happens would prove nothing. A machine so slow that the time was up
    // is excused.
    if (shard < RUNS) return
    const wanted = [
      ...['scheduled', 'exists', 'past', 'expired', 'duplicate', 'conflict'].map(
        (word) => `schedule ${word}`,
      ),
      ...['cancelled', 'unknown', 'claimed', 'finished', 'other', 'version'].map((word) => `cancel ${word}`),
      ...['rescheduled', 'unknown', 'claimed', 'finished', 'version', 'expired', 'no-not-after'].map(
        (word) => `reschedule ${word}`,
      ),
      ...[
        'shifted',
        'claimed',
        'recovered',
        'dropped',
        'died',
        'moved',
        'trimmed',
        'heldBack',
        'redriven',
        'asides',
      ],
      ...['acknowledged', 'lost', 'extended', 'failed released', 'failed dead', 'postponed released'],
      ...['rejected dead', 'returned released', 'deferred released', 'failed lost'],
    ]
    expect(wanted.filter((word) => !seen.has(word))).toEqual([])
  })
})
