import type { ClaimReply } from '../store/scripts/claim.ts'
import type { Scripts } from '../store/scripts/scripts.ts'
import type { ClockStore } from '../store/scripts/test-clock.ts'
import type { TestTime } from './test-time.ts'

export const OUTCOMES = ['delivered', 'failed', 'dead', 'dropped'] as const
/** What became of a message: `failed` if it will be retried. */
export type OutcomeWord = (typeof OUTCOMES)[number]

/** @property at by the test clock, epoch ms */
export interface Outcome {
  readonly id: string
  readonly at: number
  readonly outcome: OutcomeWord
}

/** Notes what becomes of messages while the clock is advanced. */
export interface OutcomeNotes {
  /** the scripts, watched */
  readonly scripts: Scripts
  /** Resolves when all outcomes so far are noted in Redis. */
  noted(): Promise<void>
  /** Called when messages of this server were settled. */
  onSettled(listener: () => void): void
}

export interface OutcomesDeps {
  readonly scripts: Scripts
  readonly store: Pick<ClockStore, 'noteOutcomes'>
  readonly time: TestTime
  readonly serverId: string
}

export function createOutcomeNotes({ scripts, store, time, serverId }: OutcomesDeps): OutcomeNotes {
  const inFlight = new Set<Promise<void>>()
  const listeners: (() => void)[] = []
  let count = 0

  async function note(outcomes: readonly Outcome[]): Promise<void> {
    if (outcomes.length === 0 || time.state.resume === null) return
    const named = outcomes.map((each) => [`${serverId}:${++count}`, JSON.stringify(each)])
    await store.noteOutcomes(Object.fromEntries(named))
  }
  function watch<T>(call: Promise<T>, outcomesOf: (reply: T) => readonly Outcome[]) {
    const watched = call
      .then(async (reply) => {
        const outcomes = outcomesOf(reply)
        for (const listener of listeners) listener()
        await note(outcomes)
      })
      .catch(() => undefined)
      .then(() => void inFlight.delete(watched))
    inFlight.add(watched)
    return call
  }
  const ofClaim = ({ effects, now }: ClaimReply): Outcome[] =>
    effects.flatMap(({ kind, id }) =>
      kind === 'recovered' ? [] : [{ id, at: now, outcome: kind === 'died' ? 'dead' : 'dropped' }],
    )

  return {
    noted: async () => void (await Promise.all(inFlight)),
    onSettled: (listener) => void listeners.push(listener),
    scripts: {
      ...scripts,
      claim: (shard, args) => watch(scripts.claim(shard, args), ofClaim),
      claimHosts: (shard, args) => watch(scripts.claimHosts(shard, args), ofClaim),
      lease: (shard, args) => watch(scripts.lease(shard, args), ofClaim),
      moveToStreams: (shard, args) =>
        watch(scripts.moveToStreams(shard, { ...args, tells: true }), (reply) => [
          ...ofClaim(reply),
          ...reply.movedMessages.map(({ id }): Outcome => ({ id, at: reply.now, outcome: 'delivered' })),
        ]),
      acknowledge(shard, delivered) {
        const at = time.now()
        return watch(scripts.acknowledge(shard, delivered), (lost) =>
          delivered.flatMap(({ id }) => (lost.includes(id) ? [] : [{ id, at, outcome: 'delivered' }])),
        )
      },
      release(shard, releases) {
        const at = time.now()
        return watch(scripts.release(shard, releases), ({ words }) =>
          releases.flatMap(({ id, why }, i): Outcome[] => {
            if (words[i] === 'dead') return [{ id, at, outcome: 'dead' }]
            return words[i] === 'released' && why !== 'returned' ? [{ id, at, outcome: 'failed' }] : []
          }),
        )
      },
    },
  }
}
