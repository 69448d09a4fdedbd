/** A process that lived for less died young: what ended it may end the next one as soon. */
const YOUNG_MS = 10_000
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000

/** How long to wait before a process that died is followed by another. */
export interface Patience {
  /** @returns ms: none, unless one dies young after the other: then twice as long each time, up to 5 s */
  afterLifeOf(livedMs: number): number
}

export function createPatience(): Patience {
  let diedYoung = 0
  return {
    afterLifeOf(livedMs) {
      diedYoung = livedMs < YOUNG_MS ? diedYoung + 1 : 0
      return diedYoung < 2 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (diedYoung - 2), LONGEST_WAIT_MS)
    },
  }
}
