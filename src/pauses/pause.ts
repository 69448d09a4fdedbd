/** Something that is paused. Times are epoch ms, by Redis's clock. */
export interface Pause {
  readonly target: string
  readonly note: string | null
  /** the name of the key that asked for it; null without keys */
  readonly by: string | null
  readonly at: number
  /** when it ends by itself; null for never */
  readonly until: number | null
  /** how it is being resumed; null while it is not */
  readonly resume: Resume | null
}

/** How what was due when the pause was resumed falls due. */
export interface Resume {
  readonly at: number
  /** evenly over so many ms from then on; 0 for all at once */
  readonly overMs: number
  /** epoch ms: what was due before is made a dead letter; 0 for nothing */
  readonly skipBefore: number
  /** how many shards there were */
  readonly shards: number
}

export const encodePause = ({ target: _, ...pause }: Pause): string => JSON.stringify(pause)

/** @returns undefined for what no server has written */
export function decodePause(target: string, text: string): Pause | undefined {
  try {
    const { note, by, at, until, resume } = JSON.parse(text) as Partial<Pause>
    if (typeof at !== 'number') return undefined
    return { target, note: note ?? null, by: by ?? null, at, until: until ?? null, resume: resume ?? null }
  } catch {
    return undefined
  }
}

/** The value that a shard has of a pause, see lua/lib/pauses.lua. Each shard has its own part of every interval. */
export function copyOf({ until, resume }: Pause, shard: number): string {
  if (resume === null) return `paused ${until ?? 0}`
  const { at, overMs, skipBefore, shards } = resume
  const phase = ((shard % shards) + 0.5) / shards
  return `resuming ${at} ${overMs} ${skipBefore} ${phase.toFixed(6)}`
}
