import type { ClockStore } from '../store/scripts/test-clock.ts'
import type { RunAct } from './acts.ts'
import { type Advance, type Advanced, advance } from './advance.ts'
import type { Outcome, OutcomeWord } from './outcomes.ts'
import type { Settled } from './settled.ts'
import type { TestTime } from './test-time.ts'

const TOLD_AT_MOST = 1_000

export interface ClockView {
  /** epoch ms */
  readonly now: number
  readonly mode: 'running' | 'frozen'
  /** how far it is ahead of real time */
  readonly offsetMs: number
  /** messages that are scheduled or claimed */
  readonly pending: number
  /** epoch ms; null for none */
  readonly nextDueAt: number | null
  /** whether an act is in progress */
  readonly busy: boolean
}

/** What happened during an advance; `messages` has the first of the outcomes, in order of time. */
export interface AdvanceResult extends Advanced, Record<OutcomeWord, number> {
  readonly clock: ClockView
  readonly messages: readonly Outcome[]
}

/**
 * A clock that tests set, over all servers. Each act answers once all live servers go by it.
 *
 * Each method throws SchedulerError: CLOCK_BUSY while another act is in progress, and what Redis fails with.
 */
export interface TestClock {
  /** what it shows, epoch ms */
  now(): number
  view(): Promise<ClockView>
  freeze(): Promise<ClockView>
  /** @param rate how many times as fast as real time */
  run(rate: number): Promise<ClockView>
  /** @param ask reads the time that the clock shows when the act begins */
  advance(ask: (now: number) => Advance): Promise<AdvanceResult>
  /**
   * Back to real time, running.
   * @param to from there instead, epoch ms
   * @param flush deletes all messages
   * @returns undefined, and nothing is done, if there are messages and `flush` is false
   */
  reset(to: number | null, flush: boolean): Promise<ClockView | undefined>
}

export interface TestClockDeps {
  readonly store: ClockStore
  readonly time: TestTime
  readonly settled: Settled
  readonly runAct: RunAct
  /** deletes all messages of the namespace */
  readonly deleteMessages: () => Promise<void>
  readonly holdsMessages: () => Promise<boolean>
  /** called with what the clock shows after each act */
  readonly onActEnd: (view: ClockView) => void
}

export function createTestClock(deps: TestClockDeps): TestClock {
  const { store, time, settled, runAct, deleteMessages, holdsMessages, onActEnd } = deps

  async function viewAfterAct(): Promise<ClockView> {
    const seen = { ...(await view()), busy: false }
    onActEnd(seen)
    return seen
  }
  async function view(): Promise<ClockView> {
    const [{ isActing }, { pending, nextMessageAt }] = await Promise.all([store.read(), settled.look()])
    const { rate, resume } = time.state
    const now = time.now()
    return {
      now,
      mode: (resume ?? rate) === 0 ? 'frozen' : 'running',
      offsetMs: now - time.real(),
      pending,
      nextDueAt: nextMessageAt === Number.POSITIVE_INFINITY ? null : nextMessageAt,
      busy: isActing,
    }
  }

  return {
    now: time.now,
    view,
    async freeze() {
      await runAct((act) => act.set({ rate: 0, ends: true }))
      return viewAfterAct()
    },
    async run(rate) {
      await runAct((act) => act.set({ rate, ends: true }))
      return viewAfterAct()
    },
    advance: (ask) =>
      runAct(async (act) => {
        const { rate } = time.state
        const asked = ask(time.now())
        await store.takeOutcomes()
        const advanced = await advance({ act, settled, time }, asked, rate)
        const outcomes = inOrder(await store.takeOutcomes())
        await act.set({ rate, ends: true })
        const counts = { delivered: 0, failed: 0, dead: 0, dropped: 0 }
        for (const { outcome } of outcomes) counts[outcome] += 1
        return {
          ...{ ...advanced, ...counts },
          messages: outcomes.slice(0, TOLD_AT_MOST),
          clock: await viewAfterAct(),
        }
      }),
    reset: (to, flush) =>
      runAct(async (act) => {
        if (!flush && (await holdsMessages())) return undefined
        await act.set({ rate: 0, resume: time.state.rate })
        await deleteMessages()
        await act.set({ at: to ?? 'real', rate: 1, ends: true })
        return viewAfterAct()
      }),
  }
}

/** Outcomes that were noted twice, by two calls at the same time, count once. */
function inOrder(texts: readonly string[]): Outcome[] {
  const outcomes = [...new Set(texts)].map((text) => JSON.parse(text) as Outcome)
  return outcomes.sort((a, b) => a.at - b.at || a.id.localeCompare(b.id))
}
