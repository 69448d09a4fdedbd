import { Cluster, type Redis } from 'ioredis'
import { namespaceDefine } from '../define-script.ts'
import { operationPrefixOf } from '../keys.ts'
import { expectWord, numberOrNull } from '../replies.ts'
import type { ScriptsOptions } from '../script-values.ts'

const OPERATION_STATES = ['running', 'done', 'stopped', 'failed'] as const
export type OperationState = (typeof OPERATION_STATES)[number]

/** How far an operation is. */
export interface Progress {
  /** null until they are counted */
  readonly matched: number | null
  readonly done: number
  /** those that could not be done: the sum of the three below */
  readonly failed: number
  readonly claimed: number
  /** delivered, deleted, or otherwise changed before their turn came */
  readonly gone: number
  readonly unreadable: number
}

/** An operation as Redis stores it, without what it works with. Times are epoch ms. */
export interface StoredOperation extends Progress {
  readonly id: string
  readonly action: string
  /** which messages, in words */
  readonly target: string
  readonly state: OperationState
  /** the name of an API key; null where there are none */
  readonly startedBy: string | null
  readonly startedAt: number
  readonly finishedAt: number | null
  /** why it failed; "" otherwise */
  readonly reason: string
}

/** The same with what it works with, as JSON of its own. */
export interface TakenOperation extends StoredOperation {
  readonly request: string
  readonly cursor: string
}

const FIELDS = [
  ...['action', 'target', 'state', 'startedBy', 'startedAt', 'finishedAt', 'reason'],
  ...['matched', 'done', 'failed', 'claimed', 'gone', 'unreadable'],
] as const

/** How far apart the clocks of the masters of a cluster may be. */
const CLOCKS_APART_MS = 500

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface OperationScripts {
  /** how much later the clock of a shard may be than that by which operations begin, ms */
  readonly clocksApartMs: number
  /** @returns when it started, epoch ms; undefined where too many are running @see lua/operations/begin.lua */
  begin(args: {
    id: string
    owner: string
    leaseMs: number
    mostRunning: number
    kept: number
    fields: Readonly<Record<string, string | number>>
  }): Promise<number | undefined>
  /** @returns one whose server is gone; else whether any runs at all @see lua/operations/resume.lua */
  resume(owner: string, leaseMs: number): Promise<TakenOperation | 'all have servers' | 'none runs'>
  /** @param leaseMs 0 to leave it to another server @see lua/operations/save.lua */
  save(args: {
    id: string
    owner: string
    leaseMs: number
    state: Exclude<OperationState, 'stopped'>
    keptMs: number
    cursor: string
    fields: Readonly<Record<string, string | number>>
  }): Promise<'saved' | 'stopped' | 'lost'>
  /** @see lua/operations/stop.lua */
  stop(id: string, keptMs: number): Promise<'stopped' | 'ended' | 'unknown'>
  /** @param id only this one @returns the newest first @see lua/operations/operations.lua */
  operations(id?: string): Promise<StoredOperation[]>
  /** @param acts the oldest first, no two alike @see lua/operations/note-acts.lua */
  noteActs(acts: readonly string[], kept: number): Promise<void>
  /** @returns the newest first, each as it was noted, and when (epoch ms) @see lua/operations/acts.lua */
  acts(): Promise<{ act: string; at: number }[]>
}

export function operationScripts(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): OperationScripts {
  type Field = readonly [field: string, value: string | number]
  const fields = { field: ([field]: Field) => field, value: ([, value]: Field) => value }
  const ofNamespace = namespaceDefine(client, options)
  const begin = ofNamespace('begin', {
    args: ['operation', 'id', 'owner', 'leaseMs', 'mostRunning', 'kept'],
    each: fields,
    timed: true,
  })
  const resume = ofNamespace('resume', { args: ['owner', 'leaseMs'], timed: true })
  const save = ofNamespace('save', {
    args: ['operation', 'id', 'owner', 'leaseMs', 'state', 'keptMs', 'cursor'],
    each: fields,
    timed: true,
  })
  const stop = ofNamespace('stop', { args: ['operation', 'id', 'keptMs'], timed: true })
  const operations = ofNamespace('operations', {
    args: ['id'],
    each: { field: (field: string) => field },
    timed: true,
  })
  const noteActs = ofNamespace('note-acts', {
    args: ['kept'],
    each: { act: (act: string) => act },
    timed: true,
  })
  const acts = ofNamespace('acts', { timed: true })
  const saveWord = expectWord('save', ['saved', 'stopped', 'lost'])
  const stopWord = expectWord('stop', ['stopped', 'ended', 'unknown'])
  const keyOf = (id: string) => operationPrefixOf(options.namespace) + id

  return {
    clocksApartMs: client instanceof Cluster ? CLOCKS_APART_MS : 0,

    async begin({ fields, ...args }) {
      const [now, word] = await begin(0, { ...args, operation: keyOf(args.id) }, Object.entries(fields))
      return word === 'full' ? undefined : Number(now)
    },

    async resume(owner, leaseMs) {
      const [id, ...flat] = (await resume(0, { owner, leaseMs })).map(String)
      if (id === undefined) return 'none runs'
      if (id === '') return 'all have servers'
      const values = new Map<string, string>()
      for (let i = 0; i < flat.length; i += 2) values.set(flat[i] ?? '', flat[i + 1] ?? '')
      const textOf = (field: string) => values.get(field) ?? ''
      return { ...toOperation(id, textOf), request: textOf('request'), cursor: textOf('cursor') }
    },

    async save({ fields, ...args }) {
      const [word] = await save(0, { ...args, operation: keyOf(args.id) }, Object.entries(fields))
      return saveWord(word)
    },

    async stop(id, keptMs) {
      const [word] = await stop(0, { id, keptMs, operation: keyOf(id) })
      return stopWord(word)
    },

    async operations(id = '') {
      const found = (await operations(0, { id }, FIELDS)) as string[][]
      return found.map(([id = '', ...values]) =>
        toOperation(id, (field) => values[FIELDS.indexOf(field as (typeof FIELDS)[number])] ?? ''),
      )
    },

    async noteActs(acts, kept) {
      await noteActs(0, { kept }, acts)
    },

    async acts() {
      const reply = await acts(0, {})
      return reply.flatMap((act, i) => (i % 2 === 0 ? [{ act: String(act), at: Number(reply[i + 1]) }] : []))
    },
  }
}

const stateWord = expectWord('operations', OPERATION_STATES)

function toOperation(id: string, textOf: (field: string) => string): StoredOperation {
  const numberOf = (field: string) => Number(textOf(field))
  return {
    id,
    action: textOf('action'),
    target: textOf('target'),
    state: stateWord(textOf('state')),
    startedBy: textOf('startedBy') || null,
    startedAt: numberOf('startedAt'),
    finishedAt: numberOrNull(textOf('finishedAt')),
    reason: textOf('reason'),
    matched: numberOrNull(textOf('matched')),
    done: numberOf('done'),
    failed: numberOf('failed'),
    claimed: numberOf('claimed'),
    gone: numberOf('gone'),
    unreadable: numberOf('unreadable'),
  }
}
