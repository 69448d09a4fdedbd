import { SchedulerError } from '../../domain/errors.ts'
import type { ScriptContext } from '../define-script.ts'
import { expectWord } from '../replies.ts'

/** A claim, and the token that proves it. */
export interface Held {
  readonly id: string
  readonly token: string
}

export interface Delivered extends Held {
  /** how late its delivery began; null for how late it is now */
  readonly lateMs: number | null
  /** what the history tells of the attempt, see lua/lib/history.lua; absent for nothing */
  readonly attempt?: string
}

export type Release = Held &
  (
    | {
        readonly why: 'failed'
        readonly retryAfterMs: number
        readonly reason: string
        readonly report: string
      }
    | {
        readonly why: 'postponed'
        readonly delayMs: number
        readonly reason: string
        readonly report: string
      }
    | { readonly why: 'rejected'; readonly reason: string; readonly report: string }
    | { readonly why: 'returned'; readonly dueAt: number }
    | { readonly why: 'deferred'; readonly delayMs: number }
  )

const RELEASE_WORDS = ['released', 'dead', 'lost'] as const
export type ReleaseWord = (typeof RELEASE_WORDS)[number]

interface ReleaseReply {
  /** one per release, in order: back on the schedule, now a dead letter, or its claim was lost */
  readonly words: ReleaseWord[]
  /** for each of them when it is due again after its failure, epoch ms; undefined for all others */
  readonly nextAt: (number | undefined)[]
  /** dead letters that were deleted because they are too many or too old */
  readonly trimmed: number
}

/** Each rejects with a SchedulerError as toSchedulerError says. Ids of one call must differ. */
export interface SettleScripts {
  /** @returns the ids whose lock no longer held the token @see lua/settle/acknowledge.lua */
  acknowledge(shard: number, delivered: readonly Delivered[]): Promise<string[]>
  /** @see lua/settle/release.lua */
  release(shard: number, releases: readonly Release[]): Promise<ReleaseReply>
  /** @returns the ids whose lock no longer held the token @see lua/settle/extend.lua */
  extend(shard: number, args: { held: readonly Held[]; lockMs: number }): Promise<string[]>
}

export function settleScripts({ define }: ScriptContext): SettleScripts {
  const ofHeld = { id: ({ id }: Held) => id, token: ({ token }: Held) => token }
  const acknowledge = define('acknowledge', {
    each: {
      ...ofHeld,
      lateMs: ({ lateMs }: Delivered) => lateMs ?? '',
      attempt: ({ attempt }) => attempt ?? '',
    },
  })
  const release = define('release', {
    each: {
      ...ofHeld,
      why: ({ why }: Release) => why,
      when: whenOf,
      random: () => Math.random(),
      reason: (each) => ('reason' in each ? each.reason : ''),
      report: (each) => ('report' in each ? each.report : ''),
    },
  })
  const extend = define('extend', { args: ['lockMs'], each: ofHeld })
  const word = expectWord('release', RELEASE_WORDS)
  return {
    acknowledge: (shard, delivered) =>
      inParts(delivered, async (part) => {
        const [processed, ...lost] = await acknowledge(shard, {}, part)
        return { processed: Number(processed), answers: lost.map(String) }
      }),

    async release(shard, releases) {
      let trimmed = 0
      const answers = await inParts(releases, async (part) => {
        const [trimmedNow, ...all] = await release(shard, {}, part)
        trimmed += Number(trimmedNow)
        return { processed: all.length, answers: all.map((answer) => String(answer).split(' ')) }
      })
      return {
        words: answers.map(([first]) => word(first)),
        nextAt: answers.map(([, dueAt]) => (dueAt === undefined ? undefined : Number(dueAt))),
        trimmed,
      }
    },

    extend: async (shard, { held, lockMs }) => (await extend(shard, { lockMs }, held)).map(String),
  }
}

/**
 * Makes calls until all items are processed, as a call may process only the first of them.
 *
 * @param call processes some items; returns how many, and its reply
 * @throws what `call` throws; a SchedulerError is `outcomeUnknown` if earlier calls succeeded
 */
async function inParts<T, A>(
  all: readonly T[],
  call: (part: readonly T[]) => Promise<{ processed: number; answers: A[] }>,
): Promise<A[]> {
  const { processed, answers } = await call(all)
  if (processed >= all.length) return answers
  if (processed === 0) throw new Error('a script processed none of its items')
  try {
    return [...answers, ...(await inParts(all.slice(processed), call))]
  } catch (cause) {
    if (!(cause instanceof SchedulerError) || cause.code !== 'STORE_UNAVAILABLE') throw cause
    throw new SchedulerError(cause.code, cause.message, {
      cause,
      outcomeUnknown: true,
      timedOut: cause.timedOut,
    })
  }
}

function whenOf(release: Release): number {
  switch (release.why) {
    case 'failed':
      return release.retryAfterMs
    case 'postponed':
    case 'deferred':
      return release.delayMs
    case 'returned':
      return release.dueAt
    case 'rejected':
      return 0
    default:
      return release satisfies never
  }
}
