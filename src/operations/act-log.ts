import type { OperationScripts } from '../store/scripts/operations.ts'

/** Something that a person, or a program in the person's name, did with messages or settings. */
export interface Act {
  /** the name of the API key; null where there are none */
  readonly key: string | null
  /** a verb, such as cancel, shift or pause */
  readonly act: string
  /** the id of a message or of an operation, or in words which messages; see describeFilter */
  readonly target: string
  /** how many messages it was about */
  readonly count: number
  readonly note?: string
}

export interface NotedAct extends Act {
  /** epoch ms */
  readonly at: number
}

/** Who did what, lately: best effort, for people to look at. */
export interface ActLog {
  /** Never throws, and never waits: acts are written together, soon. */
  record(act: Act): void
  /** @returns the last MOST_KEPT acts, the newest first @throws SchedulerError STORE_UNAVAILABLE */
  list(): Promise<NotedAct[]>
  /** Writes what it still has. Never throws. */
  close(): Promise<void>
}

const MOST_KEPT = 1_000
const WRITE_AFTER_MS = 20

/** @param server tells the acts of different servers apart */
export function createActLog(scripts: Pick<OperationScripts, 'noteActs' | 'acts'>, server: string): ActLog {
  let collected: string[] = []
  let written = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  function write(): void {
    clearTimeout(timer)
    timer = undefined
    const acts = collected.slice(-MOST_KEPT)
    collected = []
    if (acts.length === 0) return
    // One after the other, so that their order stays. What Redis does not take is lost.
    writing = writing.then(() => scripts.noteActs(acts, MOST_KEPT)).catch(() => undefined)
  }

  return {
    record(act) {
      written += 1
      // Of the same ms, the order is that of the text.
      collected.push(`${String(written).padStart(12, '0')}${server} ${JSON.stringify(act)}`)
      if (collected.length > 2 * MOST_KEPT) collected = collected.slice(-MOST_KEPT)
      timer ??= setTimeout(write, WRITE_AFTER_MS)
    },
    async list() {
      write()
      await writing
      const noted = await scripts.acts()
      return noted.map(({ act, at }) => ({ ...(JSON.parse(act.slice(act.indexOf(' ') + 1)) as Act), at }))
    },
    async close() {
      write()
      await writing
    },
  }
}
