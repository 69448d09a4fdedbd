import { setTimeout as delay } from 'node:timers/promises'
import { SchedulerError } from '../domain/errors.ts'
import { aboutMessage, readHead } from '../events/describe.ts'
import type { EventSink } from '../events/sink.ts'
import type { Metrics } from '../observability/metrics.ts'
import { ANSWER_TIMEOUT_MS, withTimeout } from '../runtime/time-limit.ts'
import { PROBE_TIMEOUT_MS, type ShardRotation } from '../shards/shard-rotation.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { ScheduleCall, ScheduleEntry, ScheduleScripts, ScheduleWord } from '../store/scripts/schedule.ts'

const FIRST_RETRY_MS = 25
/**
 * By Redis's clock, no copy of a call runs later than this after the first was sent. Redis remembers the call for as
 * long.
 */
const CALL_LIFETIME_MS = 5_000

interface Answered {
  /** one per entry, in order */
  readonly words: readonly ScheduleWord[]
  /** Redis's clock when the call ran, epoch ms */
  readonly ranAt: number
}

/** Calls of `schedule`, each made once, however often it has to be sent. */
export interface ScheduleCalls {
  /**
   * Repeats a call until it is answered. It is stored once, and every copy gets the same answer. Stops when the
   * shard has not answered for 1.2 s since `since`, and after 5 s.
   *
   * @param since when the callers began to wait, by `performance.now()`
   * @param canMove whether another shard is preferred to a repetition
   * @returns 'leave' when it certainly did not run, and `canMove` says so
   * @throws SchedulerError STORE_FULL: not stored; STORE_UNAVAILABLE: not stored, or `outcomeUnknown`
   */
  make(
    shard: number,
    entries: readonly ScheduleEntry[],
    since: number,
    canMove: () => boolean,
  ): Promise<Answered | 'leave'>
}

export interface ScheduleCallsDeps {
  readonly scripts: Pick<ScheduleScripts, 'schedule'>
  readonly clock: RedisClock
  readonly rotation: Pick<ShardRotation, 'markFailed' | 'markHealthy'>
  readonly metrics: Pick<Metrics, 'scheduled'>
  readonly events: EventSink
  /** @returns what no call of any server had before */
  readonly nextToken: () => string
  /** called when a stored message became the next one of its lane */
  readonly onNextDue: (shard: number, inMs: number, lane: string) => void
}

export function createScheduleCalls(deps: ScheduleCallsDeps): ScheduleCalls {
  const { scripts, clock, rotation, metrics, nextToken, onNextDue } = deps
  /** by shard, when it last answered a call */
  const answeredAt = new Map<number, number>()

  const newCall = (): ScheduleCall => ({
    token: nextToken(),
    runBy: clock.now() + CALL_LIFETIME_MS,
    firstSentAt: null,
  })

  async function send(
    shard: number,
    entries: readonly ScheduleEntry[],
    call: ScheduleCall,
    leftMs: () => number,
  ) {
    const sentAt = performance.now()
    const slow = setTimeout(() => rotation.markFailed(shard), PROBE_TIMEOUT_MS)
    try {
      const reply = await withTimeout(scripts.schedule(shard, entries, call), leftMs)
      answeredAt.set(shard, performance.now())
      clock.observe(reply.now)
      rotation.markHealthy(shard)
      if (reply.ranAt !== null) {
        const stored = reply.words.filter((word) => word === 'scheduled').length
        metrics.scheduled(stored, performance.now() - sentAt)
        if (deps.events.isListening) tellScheduled(deps.events, entries, reply.words, reply.ranAt)
      }
      return reply
    } finally {
      clearTimeout(slow)
    }
  }

  return {
    async make(shard, entries, since, canMove) {
      const endsAt = performance.now() + CALL_LIFETIME_MS
      const leftMs = () =>
        Math.min(Math.max(since, answeredAt.get(shard) ?? 0) + ANSWER_TIMEOUT_MS, endsAt) - performance.now()
      let call = newCall()
      let isUnanswered = false
      for (let wait = FIRST_RETRY_MS; ; wait *= 2) {
        let lastError: unknown
        try {
          const { words, nextDueInMs, nextDueLane, subMs, ranAt } = await send(shard, entries, call, leftMs)
          if (ranAt !== null) {
            if (nextDueInMs !== null) onNextDue(shard, Math.max(0, nextDueInMs - subMs), nextDueLane)
            return { words, ranAt }
          }
          // Redis's clock is another one than was known here.
          lastError = new SchedulerError('STORE_UNAVAILABLE', 'the call reached Redis after its deadline')
        } catch (error) {
          if (!(error instanceof SchedulerError) || error.code !== 'STORE_UNAVAILABLE') {
            throw isUnanswered ? unknown(error) : error
          }
          lastError = error
          isUnanswered ||= error.outcomeUnknown
          rotation.markFailed(shard)
          if (!isUnanswered && leftMs() > wait && canMove()) return 'leave'
        }
        if (leftMs() <= wait) throw isUnanswered ? unknown(lastError) : lastError
        // Where none of its copies has run or will, it is another call, as it may be run for longer.
        call = isUnanswered ? { ...call, firstSentAt: call.runBy - CALL_LIFETIME_MS } : newCall()
        await delay(wait)
      }
    },
  }
}

/** @param ranAt when the call ran, epoch ms */
function tellScheduled(
  events: EventSink,
  entries: readonly ScheduleEntry[],
  words: readonly ScheduleWord[],
  ranAt: number,
): void {
  for (const [i, { id, due, body }] of entries.entries()) {
    if (words[i] !== 'scheduled') continue
    const stored = readHead(`${'at' in due ? due.at : ranAt + due.inMs}${body}`)
    if (stored !== undefined) events.emit('scheduled', aboutMessage(id, stored), stored.payload)
  }
}

const unknown = (cause: unknown) =>
  new SchedulerError(
    'STORE_UNAVAILABLE',
    'Redis did not answer; it may or may not have stored the messages',
    {
      ...{ cause, outcomeUnknown: true },
    },
  )
