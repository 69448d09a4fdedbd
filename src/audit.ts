import { fileURLToPath } from 'node:url'
import { audit } from './audit/audit.ts'
import { createFindings } from './audit/findings.ts'
import { reportOf } from './audit/report.ts'
import { readConfig } from './config.ts'
import { createAuditScripts } from './redis/audit-scripts.ts'
import { connect } from './redis/connect.ts'
import { findEmbeddedRedis } from './redis/embedded.ts'
import { createReadShardCounts } from './redis/shard-counts.ts'
import { parseRedisUrl, type RedisTarget } from './redis/url.ts'

const USAGE = `usage: npm run audit
  Looks at every message of NAMESPACE in the Redis of REDIS_URL, or in the embedded one, and says what is wrong.
  It writes nothing and may run beside busy servers.
  Exit code: 0 nothing is wrong, 1 something is, 2 it could not look at everything
`
const REDIS_WITHIN_MS = 10_000

/** An embedded Redis stops with its last service, by the names of connections: an auditor's is no service's. */
const CONNECTION_NAME = 'auditor'

async function targetOf(redisUrl: string | undefined): Promise<RedisTarget> {
  if (redisUrl !== undefined) return parseRedisUrl(redisUrl)
  const path = await findEmbeddedRedis(fileURLToPath(new URL('../data/', import.meta.url)))
  if (path === undefined) throw new Error('no REDIS_URL is set, and no embedded Redis is running')
  return { kind: 'socket', path, db: 0, tls: false }
}

async function run(args: readonly string[]): Promise<number> {
  if (args.length > 0) {
    process.stderr.write(USAGE)
    return 2
  }
  const { REDIS_URL, NAMESPACE: namespace } = readConfig({
    REDIS_URL: process.env.REDIS_URL,
    NAMESPACE: process.env.NAMESPACE,
  })
  const target = await targetOf(REDIS_URL)
  const connection = connect(target)
  try {
    await connection.waitUntilReady(REDIS_WITHIN_MS)
    const { client } = connection
    if (target.kind === 'socket') await client.client('SETNAME', CONNECTION_NAME)
    const findings = createFindings()
    const audited = await audit({
      scripts: createAuditScripts(client, { namespace }),
      readShardCounts: createReadShardCounts(client, namespace),
      onFinding: findings.add,
    })
    process.stdout.write(reportOf(namespace, audited, findings))
    return findings.total === 0 ? 0 : 1
  } finally {
    await connection.close()
  }
}

run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`carillon audit: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 2
  },
)
