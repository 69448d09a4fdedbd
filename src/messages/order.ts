import type { Position } from '../store/scripts/query.ts'
import type { Direction } from '../store/scripts/search.ts'

/** Whether a place in an index comes before another. */
export const precedes = (a: Position, b: Position): boolean => {
  const difference = Number(a.score) - Number(b.score)
  return difference < 0 || (difference === 0 && a.id < b.id)
}

/** @returns whether a place is met before another one */
export const orderOf = (direction: Direction): ((a: Position, b: Position) => boolean) =>
  direction === 'up' ? precedes : (a, b) => precedes(b, a)

/** For `sort`. */
export const compareBy = (isBefore: (a: Position, b: Position) => boolean) => (a: Position, b: Position) =>
  isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0
