// @ts-check

/** With --quiet, a round in which other programs kept more cores busy than this is measured again; so often at most. */
const QUIET_CORES = 0.15
const TRIES_PER_ROUND = 8

/**
 * @template {{ othersCores?: number }} T
 * @typedef {{ name: string, run: (round: number) => Promise<T> }} Subject
 */

/**
 * Measures several in turn, round by round, each round in the opposite order of the one before: what disturbs the
 * machine for a while disturbs all of them. A round 0 is not counted: it is for the compilers of all processes.
 *
 * @template {{ othersCores?: number }} T
 * @param {readonly Subject<T>[]} subjects
 * @param {{ rounds: number, quiet: boolean, title: string, tell: (result: T) => string }} options
 *   `tell` is for who waits
 * @returns {Promise<T[][]>} by subject, then by round
 */
export async function inTurn(subjects, { rounds, quiet, title, tell }) {
  /** @type {T[][]} */
  const results = subjects.map(() => [])
  let tries = rounds * (quiet ? TRIES_PER_ROUND : 1)
  for (let round = 0; round <= rounds && tries >= 0; tries -= 1) {
    /** @type {(T | undefined)[]} */
    const figures = subjects.map(() => undefined)
    const order = [...subjects.keys()]
    for (const i of round % 2 === 0 ? order : order.toReversed()) {
      const subject = subjects[i]
      if (subject === undefined) continue
      const result = await subject.run(round)
      figures[i] = result
      console.error(`${title}, round ${round || '0 (not counted)'}, ${subject.name}: ${tell(result)}`)
    }
    const isDisturbed = figures.some((figure) => (figure?.othersCores ?? 0) > QUIET_CORES)
    if (quiet && round > 0 && isDisturbed) continue
    if (round > 0) {
      for (const [i, figure] of figures.entries()) if (figure !== undefined) results[i]?.push(figure)
    }
    round += 1
  }
  return results
}
