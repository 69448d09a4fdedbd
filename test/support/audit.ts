import type { Cluster, Redis } from 'ioredis'
import { expect } from 'vitest'
import { audit } from '../../src/audit/audit.ts'
import type { Finding, FindingKind } from '../../src/audit/kinds.ts'
import { createAuditScripts } from '../../src/redis/audit-scripts.ts'
import { connect } from '../../src/redis/connect.ts'
import { createReadShardCounts } from '../../src/redis/shard-counts.ts'
import { parseRedisUrl } from '../../src/redis/url.ts'

const REDIS_WITHIN_MS = 20_000

export interface AuditTestOptions {
  readonly clockOffsetMs?: () => number
  /** kinds that are no findings here */
  readonly without?: readonly FindingKind[]
}

/** @returns all that the auditor finds in a namespace */
export async function auditFindings(
  client: Redis | Cluster,
  namespace: string,
  { clockOffsetMs = () => 0, without = [] }: AuditTestOptions = {},
): Promise<Finding[]> {
  const findings: Finding[] = []
  await audit({
    scripts: createAuditScripts(client, { namespace, clockOffsetMs }),
    readShardCounts: createReadShardCounts(client, namespace),
    onFinding: (finding) => void findings.push(finding),
  })
  return findings.filter(({ kind }) => !without.includes(kind))
}

/** Asserts that nothing is wrong with a namespace: the end of every test that kills or cuts something. */
export async function expectSound(redisUrl: string, namespace: string): Promise<void> {
  const connection = connect(parseRedisUrl(redisUrl))
  try {
    await connection.waitUntilReady(REDIS_WITHIN_MS)
    expect(await auditFindings(connection.client, namespace)).toEqual([])
  } finally {
    await connection.close()
  }
}
