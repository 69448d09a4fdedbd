import type { Cluster, Redis } from 'ioredis'
import { audit } from '../../src/audit/audit.ts'
import type { Finding, FindingKind } from '../../src/audit/kinds.ts'
import { createAuditScripts } from '../../src/store/scripts/audit.ts'
import type { Repair } from '../../src/store/scripts/repair.ts'
import { createReadShardCounts } from '../../src/store/scripts/shard-counts.ts'

export interface AuditTestOptions {
  readonly clockOffsetMs?: () => number
  /** kinds of findings to leave out */
  readonly without?: readonly FindingKind[]
  readonly repair?: Repair
}

/** @returns the findings of the auditor in a namespace */
export async function auditFindings(
  client: Redis | Cluster,
  namespace: string,
  { clockOffsetMs = () => 0, without = [], repair }: AuditTestOptions = {},
): Promise<Finding[]> {
  const findings: Finding[] = []
  await audit({
    scripts: createAuditScripts(client, { namespace, clockOffsetMs }),
    readShardCounts: createReadShardCounts(client, namespace),
    onFinding: (finding) => void findings.push(finding),
    repair,
  })
  return findings.filter(({ kind }) => !without.includes(kind))
}
