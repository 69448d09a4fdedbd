import { fileURLToPath } from 'node:url'
import { findEmbeddedRedis } from '../dev/embedded-redis.ts'
import { type Config, readConfig, redisTargetOf } from '../server/config.ts'
import { connect } from '../store/connect.ts'
import type { RedisTarget } from '../store/redis-url.ts'
import { createAuditScripts } from '../store/scripts/audit.ts'
import { createRepair, type Repair } from '../store/scripts/repair.ts'
import { createReadShardCounts } from '../store/scripts/shard-counts.ts'
import { audit } from './audit.ts'
import { createFindings } from './findings.ts'
import { reportOf } from './report.ts'

const USAGE = `usage: npm run audit [-- --repair]
  Checks every message of NAMESPACE in the Redis of REDIS_URL, or in the embedded Redis, and reports inconsistencies.
  It writes nothing and may run while servers run.
  --repair  repairs what is safe to repair, then checks again
  Exit code: 0 no findings, or all repaired; 1 findings; 2 the audit could not finish
`
const REDIS_WITHIN_MS = 10_000
const DAY_MS = 86_400_000

/** An embedded Redis stops with its last service, by the names of connections: an auditor's is no service's. */
const CONNECTION_NAME = 'auditor'

async function targetOf(config: Config): Promise<RedisTarget> {
  if (config.REDIS_URL !== undefined) return redisTargetOf(config)
  const path = await findEmbeddedRedis(fileURLToPath(new URL('../../data/', import.meta.url)))
  if (path === undefined) throw new Error('REDIS_URL is not set, and no embedded Redis is running')
  return { kind: 'socket', path, db: 0, tls: false }
}

async function run(args: readonly string[]): Promise<number> {
  const repairing = args.length === 1 && args[0] === '--repair'
  if (args.length > 0 && !repairing) {
    process.stderr.write(USAGE)
    return 2
  }
  const { REDIS_URL, NAMESPACE, DEDUP_WINDOW_MS } = process.env
  const { REDIS_CA_FILE, SENTINEL_USERNAME, SENTINEL_PASSWORD } = process.env
  const ofRedis = { REDIS_URL, REDIS_CA_FILE, SENTINEL_USERNAME, SENTINEL_PASSWORD }
  const config = readConfig({ ...ofRedis, NAMESPACE, DEDUP_WINDOW_MS })
  const target = await targetOf(config)
  const connection = connect(target)
  try {
    await connection.waitUntilReady(REDIS_WITHIN_MS)
    const { client } = connection
    const { NAMESPACE: namespace } = config
    if (target.kind === 'socket') await client.client('SETNAME', CONNECTION_NAME)
    const look = async (repair?: Repair) => {
      const findings = createFindings()
      const audited = await audit({
        scripts: createAuditScripts(client, { namespace }),
        readShardCounts: createReadShardCounts(client, namespace),
        onFinding: findings.add,
        repair,
      })
      process.stdout.write(reportOf(namespace, audited, findings, repair !== undefined))
      return findings.total
    }
    const repair = createRepair(client, { namespace }, { knownForMs: config.DEDUP_WINDOW_MS || DAY_MS })
    const total = await look(repairing ? repair : undefined)
    if (total === 0) return 0
    return repairing && (await look()) === 0 ? 0 : 1
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
