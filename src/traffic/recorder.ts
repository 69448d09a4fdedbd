import type { Ended } from '../observability/metrics.ts'
import type { TrafficScripts } from '../store/scripts/traffic.ts'
import { busiest, encodeLanes, LaneTraffic, OTHER } from './lane-traffic.ts'

export const MINUTE_MS = 60_000
/** How long minutes are kept: an hour, and the one that has begun. */
export const KEPT_MS = 61 * MINUTE_MS
const WRITE_EVERY_MS = 10_000
/** Of more lanes in a minute, those that come last are not kept apart. */
const MOST_TRACKED = 2_000
/** Minutes that wait for Redis; of more, the oldest are dropped. */
const MOST_WAITING = 5

export interface RecorderDeps {
  readonly scripts: Pick<TrafficScripts, 'recordTraffic'>
  readonly serverId: string
  /** epoch ms by Redis's clock */
  readonly now: () => number
}

/**
 * Counts what this server delivers, by minute and lane, in memory; every 10 s it writes to Redis what is new of the
 * minute. While nothing is delivered, nothing is written.
 */
export class TrafficRecorder {
  readonly #deps: RecorderDeps
  #minute: number
  #lanes = new Map<string, LaneTraffic>()
  #isNew = false
  /** minutes that are over and not written yet */
  readonly #waiting = new Map<number, string>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(deps: RecorderDeps) {
    this.#deps = deps
    this.#minute = this.#currentMinute()
  }

  /** A delivery begins. @param lateMs after this attempt was due */
  started(lane: string, lateMs: number): void {
    this.#laneOf(lane).late.add(lateMs)
  }

  /** So many deliveries went well. */
  delivered(lane: string, count: number): void {
    this.#laneOf(lane).delivered += count
  }

  /** A delivery failed. @param then what became of its message */
  failed(lane: string, then: 'retried' | 'dead', reason: string): void {
    const traffic = this.#laneOf(lane)
    traffic.failed += 1
    traffic[then] += 1
    traffic.lastError = { at: this.#deps.now(), reason }
  }

  /** A delivery is over, however it ended. */
  ended(lane: string, { code, durationMs }: Ended): void {
    const traffic = this.#laneOf(lane)
    if (code !== undefined) traffic.countCode(code)
    traffic.took.add(durationMs)
  }

  /** Writes from now on. Idempotent. */
  start(): void {
    this.#timer ??= this.#schedule()
  }

  /** Writes a last time. Safe before start and twice; never throws. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.flush()
  }

  /** Writes what is new. Never throws: what Redis does not take now is tried again, for a few minutes. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write())
    return this.#writing
  }

  #schedule(): NodeJS.Timeout {
    // At the end of a minute, so that what is counted until then is of this minute.
    const inMs = WRITE_EVERY_MS - (this.#deps.now() % WRITE_EVERY_MS)
    return setTimeout(() => {
      void this.flush()
      if (this.#timer !== undefined) this.#timer = this.#schedule()
    }, inMs)
  }

  async #write(): Promise<void> {
    const { scripts, serverId } = this.#deps
    if (this.#isNew) this.#waiting.set(this.#minute, encodeLanes(busiest(this.#lanes)))
    this.#isNew = false
    const minute = this.#currentMinute()
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#lanes = new Map()
    }
    const oldest = [...this.#waiting.keys()].slice(0, -MOST_WAITING)
    for (const each of oldest) this.#waiting.delete(each)
    try {
      for (const [at, text] of [...this.#waiting]) {
        await scripts.recordTraffic(at, { serverId, text, keepMs: KEPT_MS })
        if (this.#waiting.get(at) === text) this.#waiting.delete(at)
      }
    } catch {
      // Redis is away, or full.
    }
  }

  #currentMinute(): number {
    return Math.floor(this.#deps.now() / MINUTE_MS)
  }

  #laneOf(lane: string): LaneTraffic {
    this.#isNew = true
    const known = this.#lanes.get(lane)
    if (known !== undefined) return known
    if (this.#lanes.size >= MOST_TRACKED && lane !== OTHER) return this.#laneOf(OTHER)
    const traffic = new LaneTraffic()
    this.#lanes.set(lane, traffic)
    return traffic
  }
}
