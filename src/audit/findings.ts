import { type Finding, type FindingKind, KINDS } from './kinds.ts'

const EXAMPLES = 5
/** As many are told apart, so that what a walk meets twice counts once; beyond, memory counts for more. */
const REMEMBERED = 100_000

/** Findings of an audit by their kind, in bounded memory. */
export interface Findings {
  add(finding: Finding): void
  readonly total: number
  /** @returns for each kind that was found how often, and the first few, in the order of KINDS */
  byKind(): { kind: FindingKind; count: number; examples: readonly Finding[] }[]
}

export function createFindings(): Findings {
  const remembered = new Set<string>()
  const found = new Map<FindingKind, { count: number; examples: Finding[] }>()
  let total = 0
  return {
    add(finding) {
      const { kind, shard, name } = finding
      const key = `${kind} ${shard} ${name}`
      if (remembered.has(key)) return
      if (remembered.size < REMEMBERED) remembered.add(key)
      total += 1
      const ofKind = found.get(kind) ?? { count: 0, examples: [] }
      found.set(kind, ofKind)
      ofKind.count += 1
      if (ofKind.examples.length < EXAMPLES) ofKind.examples.push(finding)
    },
    get total() {
      return total
    },
    byKind() {
      const kinds = Object.keys(KINDS) as FindingKind[]
      return kinds.flatMap((kind) => {
        const ofKind = found.get(kind)
        return ofKind === undefined ? [] : [{ kind, ...ofKind }]
      })
    },
  }
}
