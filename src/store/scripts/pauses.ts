import type { Cluster, Redis } from 'ioredis'
import { namespaceDefine, type ScriptContext } from '../define-script.ts'
import { expectWord } from '../replies.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** More would make every claim slower. */
export const MOST_PAUSES = 100
/** Messages of a shard that wait to be delivered although they are paused. */
const MOST_PASSES = 1_000

const CHANGE_WORDS = ['read', 'created', 'replaced', 'deleted', 'unknown', 'changed', 'past', 'full'] as const

/** The list of all that is paused, as Redis has it. */
export interface PauseList {
  /** Redis's clock, epoch ms */
  readonly now: number
  /** grows with each change; 0 while there was none */
  readonly revision: number
  /** target to JSON */
  readonly texts: ReadonlyMap<string, string>
}

export interface ChangePauses {
  readonly act: 'read' | 'set' | 'delete'
  readonly target?: string
  /** JSON to set */
  readonly text?: string
  /** only if this is there; anything unless given */
  readonly expected?: string
}

const PASS_WORDS = ['passes', 'free', 'unknown', 'full'] as const
/** "free" where nothing is paused in the shard, "unknown" for what is not scheduled there */
export type PassWord = (typeof PASS_WORDS)[number]

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface PauseScripts {
  /** Reads or changes the list, which is of no shard. @see lua/pauses/pauses.lua */
  changePauses(change: ChangePauses): Promise<PauseList & { word: (typeof CHANGE_WORDS)[number] }>
  /**
   * Has a shard go by a list, unless it knows a newer one.
   *
   * @param pauses each with its field and value, see lua/lib/pauses.lua
   * @returns the fields of which something is left to be resumed there
   * @see lua/pauses/copy-pauses.lua
   */
  copyPauses(
    shard: number,
    args: { revision: number; pauses: readonly (readonly [field: string, value: string])[] },
  ): Promise<string[]>
  /** @param from epoch ms: not those due before @returns a count per field @see lua/pauses/count-paused.lua */
  countPaused(shard: number, args: { from: number; fields: readonly string[] }): Promise<number[]>
  /** Has a scheduled message delivered although it is paused. @see lua/pauses/let-pass.lua */
  letPass(shard: number, id: string): Promise<PassWord>
}

export function pauseScripts(
  { define }: ScriptContext,
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): PauseScripts {
  const change = namespaceDefine(client, options)('pauses', {
    args: ['act', 'target', 'text', 'expected', 'most'],
    timed: true,
  })
  const copy = define('copy-pauses', {
    args: ['revision'],
    each: { field: ([field]: readonly [string, string]) => field, value: ([, value]) => value },
    timed: true,
  })
  const count = define('count-paused', {
    args: ['from'],
    each: { field: (field: string) => field },
    timed: true,
  })
  const pass = define('let-pass', { args: ['most', 'id'], timed: true })
  const changeWord = expectWord('pauses', CHANGE_WORDS)
  const passWord = expectWord('let-pass', PASS_WORDS)
  return {
    async changePauses({ act, target = '', text = '', expected = '' }) {
      const reply = await change(0, { act, target, text, expected, most: MOST_PAUSES })
      const [word, now, revision, ...flat] = reply
      const texts = new Map<string, string>()
      for (let i = 0; i < flat.length; i += 2) texts.set(String(flat[i]), String(flat[i + 1]))
      return { word: changeWord(word), now: Number(now), revision: Number(revision), texts }
    },
    copyPauses: async (shard, { revision, pauses }) => (await copy(shard, { revision }, pauses)).map(String),
    countPaused: async (shard, { from, fields }) => (await count(shard, { from }, fields)).map(Number),
    async letPass(shard, id) {
      const [word] = await pass(shard, { most: MOST_PASSES, id })
      return passWord(word)
    },
  }
}
