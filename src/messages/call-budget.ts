import type { Draft } from './draft.ts'

/**
 * What one script call takes at most, in units of what a message without tags and lane costs Redis: it keeps a call to
 * some milliseconds, also where every message is entered in indexes that no other has.
 */
const CALL_COST = 1_000
/** of an index that no message of the call before it is entered in, and of one that has such a message */
const INDEX_COST = 2
const ENTRY_COST = 0.5
const CALL_CHARACTERS = 1_048_576

/** Splits what is to be stored into calls that each keep to the budget, in order; one message at least a call. */
export function* inCalls<T>(all: readonly T[], draftOf: (each: T) => Draft): Generator<T[]> {
  let batch: T[] = []
  let indexes = new Set<string>()
  let cost = 0
  let characters = 0
  for (const each of all) {
    const draft = draftOf(each)
    batch.push(each)
    characters += draft.body.length
    cost += 1
    for (const index of draft.indexes ?? []) {
      cost += indexes.has(index) ? ENTRY_COST : INDEX_COST
      indexes.add(index)
    }
    if (cost < CALL_COST && characters < CALL_CHARACTERS) continue
    yield batch
    batch = []
    indexes = new Set()
    cost = 0
    characters = 0
  }
  if (batch.length > 0) yield batch
}
