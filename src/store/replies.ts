/** Takes one of a closed set of words from a reply. @throws TypeError naming the script for any other */
export const expectWord =
  <T extends string>(script: string, words: readonly T[]) =>
  (reply: unknown): T => {
    const found = words.find((word) => word === reply)
    if (found === undefined) throw new TypeError(`${script}.lua answered ${JSON.stringify(reply)}`)
    return found
  }

/** "" means no number. */
export const numberOrNull = (reply: unknown): number | null => (reply === '' ? null : Number(reply))

/** The first message of a lane, if a call made it that. */
export interface NewHead {
  /** ms until it is due; null when there is none */
  readonly nextDueInMs: number | null
  readonly nextDueLane: string
}

/** @param head `<ms>:<lane>`, "" for none */
export function newHead(head: unknown): NewHead {
  const [, inMs = null, nextDueLane = ''] = /^(\d+):(.*)$/.exec(String(head)) ?? []
  return { nextDueInMs: inMs === null ? null : Number(inMs), nextDueLane }
}

/** Redis's clock as scripts answer it. */
export interface ExactTime {
  /** epoch ms */
  readonly now: number
  /** the part of the millisecond that had already elapsed; with it a wait is not up to 1 ms too long */
  readonly subMs: number
}

/** @param exact epoch ms with a fraction, as text: as one number its fraction would not be exact */
export function exactTime(exact: unknown): ExactTime {
  const [whole, thousandths = 0] = String(exact).split('.')
  return { now: Number(whole), subMs: Number(thousandths) / 1_000 }
}
