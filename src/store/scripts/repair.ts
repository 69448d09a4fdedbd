import type { Cluster, Redis } from 'ioredis'
import { scriptContext } from '../define-script.ts'
import { expectWord } from '../replies.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** What was done about a finding, see lua/audit/repair.lua. */
const REPAIR_WORDS = ['repaired', 'left', 'sound'] as const
type RepairWord = (typeof REPAIR_WORDS)[number]

/**
 * @param part a collection, or for single keys "lanes", "lock", "seen", "call" or "streams"
 * @param name which lane or tag; "" for other parts
 * @returns a word for each of the names
 * @see lua/audit/repair.lua
 */
export type Repair = (
  shard: number,
  args: { part: string; name: string; names: readonly string[] },
) => Promise<RepairWord[]>

/** Defines the repair script, apart from the scripts that only read. It rejects as toSchedulerError says. */
export function createRepair(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
  { knownForMs }: { knownForMs: number },
): Repair {
  const repair = scriptContext(client, options).define('repair', {
    args: ['knownForMs', 'part', 'name'],
    each: { about: (name: string) => name },
  })
  const word = expectWord('repair', REPAIR_WORDS)
  return async (shard, { part, name, names }) =>
    (await repair(shard, { knownForMs, part, name }, names)).map(word)
}
