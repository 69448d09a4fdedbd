import { LAST_MS } from '../domain/message.ts'
import type { NewHead } from '../store/replies.ts'
import type { ChangeScripts, Step } from '../store/scripts/change.ts'
import type { Progress } from '../store/scripts/operations.ts'
import { directionOf, type OperationRequest } from './request.ts'

/** What a step did. */
export interface Stepped extends Omit<Progress, 'matched'> {
  /** how many ids it looked at, from the first on; 0 if another server has taken a later step */
  readonly processed: number
}

/** A step to take: in one shard, with these messages. */
export interface StepArgs {
  readonly shard: number
  readonly ids: readonly string[]
  readonly step: Step
  readonly request: OperationRequest
  readonly progress: Progress
  /** the name of the key that started it; null for none */
  readonly by: string | null
}

export interface StepDeps {
  readonly scripts: Pick<ChangeScripts, 'cancel' | 'shift' | 'redrive'>
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
  /** Redis's clock as last heard of, epoch ms */
  readonly now: () => number
}

/** Takes a step. Repeated, it changes nothing. @throws SchedulerError as toSchedulerError says */
export type TakeStep = (args: StepArgs) => Promise<Stepped>

export function createTakeStep({ scripts, onNextDue, now }: StepDeps): TakeStep {
  const heed = (shard: number, { nextDueInMs, nextDueLane }: NewHead) => {
    if (nextDueInMs !== null) onNextDue(shard, nextDueInMs, nextDueLane)
  }

  async function cancel({ shard, ids, step, by, request: { filter } }: StepArgs): Promise<Stepped> {
    const states = [filter.status === 'dead' ? ('dead' as const) : ('scheduled' as const)]
    const words = await scripts.cancel(shard, { ids, ifMatch: '', states, step, by })
    const count = (...wanted: string[]) => words.filter((word) => wanted.includes(word)).length
    return counted(words.length, {
      done: count('cancelled'),
      claimed: count('claimed'),
      gone: count('unknown', 'finished', 'other'),
    })
  }

  async function shift(args: StepArgs): Promise<Stepped> {
    const { shard, ids, step, by, request } = args
    const byMs = request.action === 'deliver' ? ('now' as const) : (request.byMs ?? 0)
    const reply = await scripts.shift(shard, { ids, byMs, latest: LAST_MS, ...placesOf(args), step, by })
    heed(shard, reply)
    const { processed, shifted, claimed, unreadable, later } = reply
    const gone = processed - shifted - claimed - unreadable - later
    return counted(processed, { done: shifted, claimed, unreadable, gone })
  }

  async function redrive(args: StepArgs): Promise<Stepped> {
    const { shard, ids, step, by, request } = args
    const { everyMs, nth } = placesOf(args)
    const { changes = [] } = request
    const reply = await scripts.redrive(shard, { ids, from: null, everyMs, before: nth, changes, step, by })
    heed(shard, reply)
    const { processed, unreadable, unknown } = reply
    return counted(processed, {
      done: processed - unreadable - unknown.length,
      unreadable,
      gone: unknown.length,
    })
  }

  /** The places of a step's messages among all, which are to fall due one after the other. */
  function placesOf({ request, progress, step }: StepArgs): { everyMs: number; nth: number } {
    const { spreadMs = 0 } = request
    const { matched, done } = progress
    if (spreadMs === 0 || !matched) return { everyMs: 0, nth: 0 }
    const everyMs = spreadMs / matched
    // The last first: the others are to fall due before it.
    if (directionOf(request) === 'down') return { everyMs: -everyMs, nth: done + 1 - matched }
    if (request.action === 'shift') return { everyMs, nth: done }
    // Scripts count from now, and the first was due when the operation began.
    return { everyMs, nth: Math.max(0, done - (now() - step.mark) / everyMs) }
  }

  return (args) => {
    switch (args.request.action) {
      case 'cancel':
      case 'delete':
        return cancel(args)
      case 'shift':
        return shift(args)
      case 'deliver':
        return args.request.filter.status === 'dead' ? redrive(args) : shift(args)
      case 'redrive':
        return redrive(args)
      default:
        return args.request.action satisfies never
    }
  }
}

function counted(
  processed: number,
  { done, claimed = 0, gone = 0, unreadable = 0 }: Partial<Progress> & { done: number },
): Stepped {
  return { processed, done, claimed, gone, unreadable, failed: claimed + gone + unreadable }
}
