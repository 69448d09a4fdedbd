import { setTimeout as delay } from 'node:timers/promises'
import { SchedulerError } from '../domain/errors.ts'
import { groupBy } from '../runtime/group-by.ts'
import {
  type AuditScripts,
  COLLECTIONS,
  type FoundKey,
  type RawFinding,
  type ShardKey,
} from '../store/scripts/audit.ts'
import type { Repair } from '../store/scripts/repair.ts'
import type { ReadShardCounts } from '../store/scripts/shard-counts.ts'
import { type Finding, isKind } from './kinds.ts'

/** A page is small enough to keep nobody waiting: of so many members, and of about so many bytes. */
const MEMBERS_AT_ONCE = 200
const BYTES_AT_ONCE = 1_048_576
const FIRST_PAGE = 10
const KEYS_AT_ONCE = 200
/** A walk that Redis interrupts starts again: a position means nothing to the Redis that takes over. */
const TRIES = 20
const BETWEEN_TRIES_MS = 250

export interface AuditDeps {
  readonly scripts: AuditScripts
  readonly readShardCounts: ReadShardCounts
  readonly onFinding: (finding: Finding) => void
  /** repairs findings where that is safe; without it nothing is written */
  readonly repair?: Repair | undefined
}

/** What was checked and repaired. */
export interface Audited {
  readonly keys: number
  readonly messages: number
  readonly shards: number
  /** number of repairs; a message with several findings may count several times */
  readonly repaired: number
}

/** The single keys that can be repaired, by their key part. */
const PARTS_OF_KEYS: ReadonlyMap<string, string> = new Map([
  ['lock', 'lock'],
  ['seen', 'seen'],
  ['call', 'call'],
  ['lane', 'lanes'],
  ['stream', 'streams'],
])

/**
 * Checks every key of a namespace and reports each inconsistency. It keeps one page in memory, and writes nothing
 * without a repair. It may run while servers run: a script checks each message with all its entries at once, so a
 * message is never seen between two states.
 *
 * A finding may be reported twice. A message that is stored or removed during the audit may be missed.
 *
 * @throws SchedulerError STORE_UNAVAILABLE when Redis does not answer for a while
 */
export async function audit({ scripts, readShardCounts, onFinding, repair }: AuditDeps): Promise<Audited> {
  const shards = new Set<number>()
  let keys = 0
  let messages = 0
  let repaired = 0

  const tell = (shard: number | null, found: { kind: string; name: string; detail: string }) => {
    if (!isKind(found.kind)) throw new TypeError(`no kind of finding: ${found.kind}`)
    onFinding({ shard, kind: found.kind, name: found.name, detail: found.detail })
  }

  /** A key of the wrong type makes the scripts of its shard fail. That is a finding, and the audit continues. */
  async function looking(shard: number, what: string, look: () => Promise<void>): Promise<void> {
    try {
      await again(look)
    } catch (error) {
      if (error instanceof SchedulerError && error.code !== 'STORE_REFUSED') throw error
      tell(shard, { kind: 'not-audited', name: what, detail: (error as Error).message })
    }
  }

  async function repairFindings(shard: number, part: string, name: string, findings: readonly RawFinding[]) {
    if (repair === undefined || findings.length === 0) return
    const names = [...new Set(findings.map((found) => found.name))]
    const words = await repair(shard, { part, name, names })
    repaired += words.filter((word) => word === 'repaired').length
  }

  const walk = (shard: number, collection: string, name = '') =>
    looking(shard, name === '' ? collection : `${collection} ${name}`, async () => {
      let processed = 0
      for await (const page of pagesOf(scripts, shard, collection, name)) {
        for (const found of page.findings) tell(shard, found)
        await repairFindings(shard, collection, name, page.findings)
        processed += page.processed
      }
      if (collection === 'messages') messages += processed
    })

  async function checkKeys(found: readonly FoundKey[]): Promise<void> {
    for (const { key, part } of found) {
      if (part.of === 'nothing known') tell(null, { kind: 'unknown-key', name: key, detail: '' })
    }
    const ofShards = found.filter((each): each is ShardKey => each.part.of === 'shard')
    for (const [shard, all] of groupBy(ofShards, ({ part }) => part.shard)) {
      shards.add(shard)
      for (let first = 0; first < all.length; first += KEYS_AT_ONCE) {
        const some = all.slice(first, first + KEYS_AT_ONCE)
        await looking(shard, 'keys', async () => {
          const findings = await scripts.checkKeys(shard, some)
          for (const each of findings) tell(shard, each)
          for (const [ofKeys, part] of PARTS_OF_KEYS) {
            const names = new Set(some.flatMap((key) => (key.part.part === ofKeys ? [key.part.name] : [])))
            const ofPart = findings.filter(({ name }) => names.has(name))
            await repairFindings(shard, part, '', ofPart)
          }
        })
      }
      for (const { part } of all) {
        if (part.part === 'lane' || part.part === 'tag') await walk(shard, part.part, part.name)
      }
    }
  }

  await again(async () => {
    keys = 0
    for await (const found of scripts.keys()) {
      keys += found.length
      await checkKeys(found)
    }
  })
  const found = shards.size
  await checkNamespace({ scripts, readShardCounts, shards, tell })
  for (const shard of shards) for (const collection of COLLECTIONS) await walk(shard, collection)
  return { keys, messages, shards: found, repaired }
}

/** All pages of a collection, each of about as many bytes. */
async function* pagesOf(scripts: AuditScripts, shard: number, collection: string, name: string) {
  let cursor = '0'
  let count = FIRST_PAGE
  do {
    const page = await scripts.checkPage(shard, { collection, name, cursor, count })
    yield page
    cursor = page.cursor
    const fitting = Math.floor((count * BYTES_AT_ONCE) / Math.max(1, page.bytes))
    count = Math.max(1, Math.min(MEMBERS_AT_ONCE, 4 * count, fitting))
  } while (cursor !== '0')
}

interface OfNamespace extends Pick<AuditDeps, 'scripts' | 'readShardCounts'> {
  /** shards that have keys, and shards that are recorded: a part of a cluster may be away with all its keys */
  readonly shards: Set<number>
  readonly tell: (shard: number | null, found: { kind: string; name: string; detail: string }) => void
}

async function checkNamespace({ scripts, readShardCounts, shards, tell }: OfNamespace): Promise<void> {
  const counts = await again(readShardCounts)
  if (counts === undefined) {
    if (shards.size > 0) tell(null, { kind: 'shard-counts', name: 'number of shards', detail: '' })
  } else {
    const all = Math.max(...counts.map(({ count }) => count))
    for (const shard of shards) {
      if (shard < all) continue
      tell(shard, { kind: 'unknown-shard', name: String(shard), detail: `${all} are recorded` })
    }
    for (let shard = 0; shard < all; shard += 1) shards.add(shard)
  }
  for (const [id, text] of await again(scripts.servers)) {
    if (!/^\d+ \{.*\}$/.test(text))
      tell(null, { kind: 'unreadable-server', name: id, detail: text.slice(0, 80) })
  }
}

async function again<T>(act: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act()
    } catch (error) {
      const isPassing = error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE'
      if (!isPassing || tries === TRIES) throw error
    }
    await delay(BETWEEN_TRIES_MS)
  }
}
