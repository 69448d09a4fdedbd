import { Cluster, type Redis } from 'ioredis'
import { SchedulerError } from '../../domain/errors.ts'
import { scriptContext } from '../define-script.ts'
import { type KeyPart, keyReader, patternsOf } from '../key-parts.ts'
import { serversKeyOf } from '../keys.ts'
import { toSchedulerError } from '../redis-errors.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** The collections of a shard, of which a page can be audited; a lane and a tag also have a name. */
export const COLLECTIONS = [
  ...['messages', 'scheduled', 'stream', 'laned', 'claimed', 'dead', 'attempts', 'failures'],
  ...['history', 'delivered', 'dropped', 'cancellations', 'cancelled', 'hosts', 'queues'],
] as const

/** A broken invariant: its kind (see src/audit/kinds.ts), the message or key, and details. */
export interface RawFinding {
  readonly kind: string
  readonly name: string
  readonly detail: string
}

interface AuditPage {
  /** where the next page begins; "0" at the end */
  readonly cursor: string
  readonly processed: number
  readonly bytes: number
  readonly findings: readonly RawFinding[]
}

export interface FoundKey {
  readonly key: string
  readonly part: KeyPart
}

export type ShardKey = FoundKey & { readonly part: Extract<KeyPart, { of: 'shard' }> }

/** The reads of an audit; none of them writes. */
export interface AuditScripts {
  /**
   * All keys of the namespace, on a cluster of every master, a few at a time; a key may come twice.
   *
   * @throws SchedulerError as toSchedulerError says
   */
  keys(): AsyncIterable<readonly FoundKey[]>
  /** @see lua/audit/audit-keys.lua */
  checkKeys(shard: number, keys: readonly ShardKey[]): Promise<RawFinding[]>
  /** @see lua/audit/audit-page.lua */
  checkPage(
    shard: number,
    args: { collection: string; name: string; cursor: string; count: number },
  ): Promise<AuditPage>
  /** @returns each entry of the servers' hash */
  servers(): Promise<ReadonlyMap<string, string>>
}

const KEYS_AT_ONCE = 1_000

/** @throws SchedulerError if the nodes of a cluster are unknown: then nothing was audited */
function mastersOf(client: Redis | Cluster): Redis[] {
  if (!(client instanceof Cluster)) return [client]
  if (client.status === 'ready') return client.nodes('master')
  throw new SchedulerError('STORE_UNAVAILABLE', 'the cluster does not answer')
}

/** Defines the scripts on a client. Each rejects as toSchedulerError says. */
export function createAuditScripts(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): AuditScripts {
  const { namespace } = options
  const { define } = scriptContext(client, options)
  const page = define('audit-page', { args: ['collection', 'name', 'cursor', 'count'] })
  const single = define('audit-keys', {
    each: {
      part: ({ part }: ShardKey) => part.part,
      name: ({ part }) => part.name,
      key: ({ key }) => key,
      type: ({ part }) => part.type,
    },
  })
  const readKey = keyReader(namespace)
  return {
    async *keys() {
      for (const node of mastersOf(client)) {
        for (const pattern of patternsOf(namespace)) {
          let cursor = '0'
          do {
            const scan = node.scan(cursor, 'MATCH', pattern, 'COUNT', KEYS_AT_ONCE)
            const [next, found] = await scan.catch((error: unknown) => {
              throw toSchedulerError('scan', error)
            })
            cursor = next
            if (found.length > 0) yield found.map((key) => ({ key, part: readKey(key) }))
          } while (cursor !== '0')
        }
      }
    },

    checkKeys: async (shard, found) => toFindings(await single(shard, {}, found)),

    async checkPage(shard, args) {
      const [next, processed, bytes, ...rest] = await page(shard, args)
      return {
        ...{ cursor: String(next), processed: Number(processed), bytes: Number(bytes) },
        findings: toFindings(rest),
      }
    },

    async servers() {
      const entries = await client.hgetall(serversKeyOf(namespace)).catch((error: unknown) => {
        throw toSchedulerError('hgetall', error)
      })
      return new Map(Object.entries(entries))
    },
  }
}

function toFindings(flat: readonly unknown[]): RawFinding[] {
  const findings: RawFinding[] = []
  for (let i = 0; i < flat.length; i += 3) {
    const [kind, name, detail] = flat.slice(i, i + 3).map(String)
    findings.push({ kind: kind ?? '', name: name ?? '', detail: detail ?? '' })
  }
  return findings
}
