import type { Audited } from './audit.ts'
import type { Findings } from './findings.ts'
import { type Finding, KINDS } from './kinds.ts'

const number = (n: number) => n.toLocaleString('en')

/**
 * What an audit found, for people: a line for each kind, with what a repair does about it and a few examples below.
 *
 * @param repaired whether it was given a repair
 */
export function reportOf(
  namespace: string,
  { keys, messages, shards, repaired: repairedCount }: Audited,
  findings: Findings,
  repaired: boolean,
): string {
  const lines = [
    `audited namespace ${JSON.stringify(namespace)}: ${number(messages)} messages, ${number(keys)} keys, ` +
      `${number(shards)} shards`,
  ]
  if (findings.total === 0) lines.push('no findings')
  for (const { kind, count, examples } of findings.byKind()) {
    const { says, repair } = KINDS[kind]
    lines.push(`${number(count)} x ${kind}: ${says}`)
    lines.push(
      `    ${repair === null ? 'not repaired automatically' : `${repaired ? 'repair' : '--repair'}: ${repair}`}`,
    )
    for (const example of examples) lines.push(`    ${describe(example)}`)
    if (count > examples.length) lines.push(`    and ${number(count - examples.length)} more`)
  }
  if (repaired) lines.push(`repaired ${number(repairedCount)}`)
  return `${lines.join('\n')}\n`
}

/** Names and details are as clients made them, and may hold anything. */
function describe({ shard, name, detail }: Finding): string {
  const where = shard === null ? '' : ` in shard ${shard}`
  return `${JSON.stringify(name)}${where}${detail === '' ? '' : `: ${JSON.stringify(detail).slice(1, -1)}`}`
}
