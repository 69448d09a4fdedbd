import { SchedulerError } from '../domain/errors.ts'
import { LAST_MS } from '../domain/message.ts'
import type { EventSink } from '../events/sink.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { ShardMap } from '../shards/shard-map.ts'
import type { RedisClock } from '../store/redis-clock.ts'
import type { PauseList, PauseScripts } from '../store/scripts/pauses.ts'
import { decodePause, encodePause, type Pause, type Resume } from './pause.ts'
import { createPauseCopies } from './pause-copies.ts'
import { fieldOf, type PauseTarget, targetsOf } from './target.ts'

/** How what waits is to fall due after a pause: all of it at once unless one of the first two is given. */
export interface Pace {
  readonly spreadMs?: number
  /** over all shards */
  readonly perSecond?: number
  /** what has been due for longer becomes a dead letter */
  readonly skipOlderThanMs?: number
}

export interface Resumed {
  /** how many messages were due and held */
  readonly waiting: number
  /** when the last of them falls due, epoch ms; null for now */
  readonly lastDueAt: number | null
}

/**
 * What is paused: messages of it are accepted, and not claimed by any server. The list is in Redis, and each shard has
 * a copy, by which the scripts that claim go. Methods reject with SchedulerError STORE_UNAVAILABLE when not every
 * shard confirmed: then the act may hold in some, and any server's sync completes it within seconds.
 */
export interface Pauses {
  /** Returns once no server claims any of it. @throws SchedulerError PAUSE_ENDED, TOO_MANY_PAUSES */
  pause(
    target: PauseTarget,
    about: Pick<Pause, 'note' | 'by' | 'until'>,
  ): Promise<{ readonly pause: Pause; readonly isNew: boolean }>
  /** Ends a pause. What waited falls due as the pace says. @throws SchedulerError PAUSE_NOT_FOUND */
  resume(target: PauseTarget, pace: Pace, by: string | null): Promise<Resumed>
  /** As of now, each with how many due messages it holds; a message that several hold counts for each. */
  read(): Promise<{ readonly pause: Pause; readonly waiting: number }[]>
  /** As this server has last heard, some seconds ago at most. */
  list(): readonly Pause[]
  /** The pause that holds what is in a lane ("" for the console) and has these tags, as last heard of. */
  pausedBy(lane: string, tags: readonly string[]): Pause | undefined
  /** It was published that a shard has another list now: reads it, and tells of the change. */
  heard(): void
  /** Reads the list, and has the shards know it that may not. */
  sync(): Promise<void>
  /** Syncs again and again. Twice is once. */
  start(): void
  /** Safe before start and twice. */
  stop(): void
}

export interface PausesDeps {
  readonly scripts: Pick<PauseScripts, 'changePauses' | 'copyPauses' | 'countPaused'>
  readonly shardMap: Pick<ShardMap, 'all' | 'onGrow'>
  readonly clock: RedisClock
  readonly events: EventSink
  /** told when shards have another list: what was held may be free now, or is to end sooner */
  readonly onChange: () => void
}

/** A safety net: changes are published. */
const SYNC_EVERY_MS = 10_000
/** While something is resumed: when all shards have finished, it is deleted from the list. */
const RESUMING_EVERY_MS = 500
/** The shards publish one after the other. */
const TOGETHER_MS = 5
/** Another server changes the same pause between a look at it and the change. */
const TRIES = 5

const timeOf = (ms: number | null) => (ms === null ? null : toIso(ms))

/** An event without what is not known. */
const withoutNulls = (event: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(event).filter(([, value]) => value !== null))

export function createPauses({ scripts, shardMap, clock, events, onChange }: PausesDeps): Pauses {
  let known: ReadonlyMap<string, Pause> = new Map()
  let knownRevision = -1
  let timer: NodeJS.Timeout | undefined
  let hearing: NodeJS.Timeout | undefined
  let isStopped = false
  const copies = createPauseCopies({ scripts, shardMap })

  /** Takes over what Redis has. @returns what it is */
  function learn(list: PauseList): ReadonlyMap<string, Pause> {
    clock.observe(list.now)
    const pauses = new Map<string, Pause>()
    for (const [target, text] of list.texts) {
      const pause = decodePause(target, text)
      if (pause !== undefined) pauses.set(target, pause)
    }
    // Without a list, Redis may have lost it.
    if (list.revision >= knownRevision || list.revision === 0) {
      known = pauses
      knownRevision = list.revision
    }
    return pauses
  }

  async function countIn(fields: readonly string[], from = 0): Promise<number[]> {
    if (fields.length === 0) return []
    const shards = Array.from({ length: shardMap.all }, (_, shard) => shard)
    const counts = await Promise.all(shards.map((shard) => scripts.countPaused(shard, { from, fields })))
    return fields.map((_, i) => counts.reduce((sum, ofShard) => sum + (ofShard[i] ?? 0), 0))
  }

  /** Changes the list, and every shard's copy. */
  async function change(args: Parameters<PauseScripts['changePauses']>[0]) {
    const list = await scripts.changePauses(args)
    const pauses = learn(list)
    if (list.word === 'past') throw new SchedulerError('PAUSE_ENDED', 'the pause would have ended already')
    if (list.word === 'full') throw new SchedulerError('TOO_MANY_PAUSES', 'as much is paused as may be')
    if (list.word === 'unknown') throw new SchedulerError('PAUSE_NOT_FOUND', 'it is not paused')
    if (list.word !== 'changed') await copies.write(list.revision, pauses.values())
    return list.word
  }

  async function resumeNow({ target, field }: PauseTarget): Promise<Resumed> {
    const [waiting = 0] = await countIn([field])
    await change({ act: 'delete', target })
    return { waiting, lastDueAt: null }
  }

  async function resumeAtPace({ target, field }: PauseTarget, pace: Pace): Promise<Resumed> {
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const list = await scripts.changePauses({ act: 'read' })
      const expected = list.texts.get(target)
      const pause = learn(list).get(target)
      if (expected === undefined || pause === undefined)
        throw new SchedulerError('PAUSE_NOT_FOUND', 'it is not paused')
      const at = Math.floor(list.now)
      const { skipOlderThanMs, perSecond, spreadMs = 0 } = pace
      const skipBefore = skipOlderThanMs === undefined ? 0 : Math.max(0, at - skipOlderThanMs)
      const [waiting = 0] = await countIn([field], skipBefore)
      const wantedMs = perSecond === undefined ? spreadMs : Math.ceil((waiting * 1_000) / perSecond)
      const overMs = waiting === 0 ? 0 : Math.min(wantedMs, LAST_MS - at)
      const resume: Resume = { at, overMs, skipBefore, shards: shardMap.all }
      const text = encodePause({ ...pause, resume })
      if ((await change({ act: 'set', target, text, expected })) !== 'changed')
        return { waiting, lastDueAt: overMs === 0 ? null : at + overMs }
    }
    throw new SchedulerError('STORE_UNAVAILABLE', 'the pause changes all the time')
  }

  async function sync(): Promise<void> {
    const list = await scripts.changePauses({ act: 'read' })
    const pauses = learn(list)
    if (list.revision === 0) return
    const finished = await copies.check(list.revision, pauses.values())
    for (const { target } of finished) {
      const expected = list.texts.get(target) ?? ''
      await change({ act: 'delete', target, expected }).catch((error: unknown) => {
        if (!(error instanceof SchedulerError) || error.code !== 'PAUSE_NOT_FOUND') throw error
      })
    }
  }

  function schedule(): void {
    if (isStopped) return
    const isResuming = [...known.values()].some(({ resume }) => resume !== null)
    timer = setTimeout(
      async () => {
        // The next sync makes up for a failed one. Others log that Redis is away.
        await sync().catch(() => undefined)
        schedule()
      },
      isResuming ? RESUMING_EVERY_MS : SYNC_EVERY_MS,
    )
  }

  // New shards get their first messages some time after they are heard of.
  shardMap.onGrow(() => void sync().catch(() => undefined))

  return {
    async pause({ target }, about) {
      const pause: Pause = { target, ...about, at: Math.floor(clock.now()), resume: null }
      const word = await change({ act: 'set', target, text: encodePause(pause) })
      const { by, note, until } = about
      if (events.isListening) events.emit('paused', withoutNulls({ target, by, note, until: timeOf(until) }))
      return { pause, isNew: word === 'created' }
    },
    async resume(target, pace, by) {
      const hasPace = Object.values(pace).some((given) => given !== undefined)
      const resumed = await (hasPace ? resumeAtPace(target, pace) : resumeNow(target))
      const { waiting, lastDueAt } = resumed
      const about = { target: target.target, by, waiting, until: timeOf(lastDueAt) }
      if (events.isListening) events.emit('resumed', withoutNulls(about))
      return resumed
    },
    async read() {
      const pauses = [...learn(await scripts.changePauses({ act: 'read' })).values()]
      const counts = await countIn(pauses.map(({ target }) => fieldOf(target)))
      return pauses
        .map((pause, i) => ({ pause, waiting: counts[i] ?? 0 }))
        .sort((a, b) => a.pause.at - b.pause.at)
    },
    list: () => [...known.values()],
    pausedBy(lane, tags) {
      if (known.size === 0) return undefined
      const now = clock.now()
      return targetsOf(lane, tags)
        .map((target) => known.get(target))
        .find((pause) => pause !== undefined && pause.resume === null && (pause.until ?? now + 1) > now)
    },
    heard() {
      hearing ??= setTimeout(() => {
        hearing = undefined
        onChange()
        scripts.changePauses({ act: 'read' }).then(learn, () => undefined)
      }, TOGETHER_MS)
    },
    sync,
    start() {
      isStopped = false
      if (timer === undefined) schedule()
    },
    stop() {
      isStopped = true
      clearTimeout(timer)
      clearTimeout(hearing)
      timer = undefined
    },
  }
}
