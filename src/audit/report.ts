import type { Audited } from './audit.ts'
import type { Findings } from './findings.ts'
import { type Finding, KINDS } from './kinds.ts'

const number = (n: number) => n.toLocaleString('en')

/** What an audit found, for people: a line for each kind, with a few examples below. */
export function reportOf(namespace: string, audited: Audited, findings: Findings): string {
  const { keys, messages, shards } = audited
  const lines = [
    `audited namespace ${JSON.stringify(namespace)}: ${number(messages)} messages, ${number(keys)} keys, ${number(shards)} shards`,
  ]
  if (findings.total === 0) lines.push('no findings')
  for (const { kind, count, examples } of findings.byKind()) {
    lines.push(`${number(count)} x ${kind}: ${KINDS[kind]}`)
    for (const example of examples) lines.push(`    ${describe(example)}`)
    if (count > examples.length) lines.push(`    and ${number(count - examples.length)} more`)
  }
  return `${lines.join('\n')}\n`
}

/** Names and details are as clients made them, and may hold anything. */
function describe({ shard, name, detail }: Finding): string {
  const where = shard === null ? '' : ` in shard ${shard}`
  return `${JSON.stringify(name)}${where}${detail === '' ? '' : `: ${JSON.stringify(detail).slice(1, -1)}`}`
}
