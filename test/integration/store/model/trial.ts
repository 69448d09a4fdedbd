import { expect } from 'vitest'
import type { Due, MessageOptions } from '../../../../src/domain/message.ts'
import { keysOf, type ShardKeys } from '../../../../src/store/keys.ts'
import { laneOf } from '../../../support/invariants.ts'
import type { ScriptWorld } from '../../../support/script-world.ts'
import { Model } from './model.ts'
import { type AnyDue, type AnyOptions, HALF, OUR_SETTINGS, QUARTER, STEP } from './operations.ts'
import type { NewMessage } from './types.ts'

/** One run on the scripts and on the model, in a shard of its own: what its operations share. */
export class Trial {
  readonly model = new Model(OUR_SETTINGS)
  readonly keys: ShardKeys
  /** the newest first */
  readonly claims: { token: string; ids: string[] }[] = []
  readonly lastContent = new Map<string, NewMessage>()
  readonly w: ScriptWorld
  readonly shard: number
  readonly base: number
  /** how often there was which answer */
  readonly seen: Map<string, number>
  #revision = 0

  constructor(w: ScriptWorld, shard: number, base: number, seen: Map<string, number>) {
    this.w = w
    this.shard = shard
    this.base = base
    this.seen = seen
    this.keys = keysOf(shard, w.namespace)
  }

  readonly atStep = (step: number) => this.base + step * STEP + HALF
  readonly dueOf = (any: AnyDue): Due =>
    'atStep' in any ? { at: this.atStep(any.atStep) } : { inMs: any.inSteps * STEP + QUARTER }
  optionsOf({ notAfterStep, ...rest }: AnyOptions) {
    const defined = Object.entries(rest).filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    return {
      ...Object.fromEntries(defined),
      ...(notAfterStep === undefined ? {} : { notAfter: this.atStep(notAfterStep) }),
    } as MessageOptions
  }
  async pause(fields: readonly string[]): Promise<void> {
    this.#revision += 1
    this.model.pauses.set(fields)
    const pauses = fields.map((field) => [field, 'paused 0'] as const)
    await this.w.scripts.copyPauses(this.shard, { revision: this.#revision, pauses })
  }
  note(word: string) {
    this.seen.set(word, (this.seen.get(word) ?? 0) + 1)
  }

  /** @returns the clock as a script has read it, which cannot be far from where it was left; null: about now */
  async learn(clock: string | number | null): Promise<number> {
    const now = await this.w.now()
    if (clock === null) return now
    expect(now - Number(clock)).toBeGreaterThanOrEqual(0)
    expect(now - Number(clock)).toBeLessThan(QUARTER)
    return Number(clock)
  }

  /** The head moved if one of the changed messages is sooner than all that were in its lane; queues do not count. */
  async expectHead(
    inMs: number | null,
    before: ReadonlyMap<string, number>,
    changed: readonly string[],
    now?: number,
  ): Promise<void> {
    const sooner = changed.flatMap((id) => {
      const { options, score } = this.model.messages.get(id) ?? { options: {}, score: 0 }
      const lane = laneOf(options)
      const head = before.get(lane)
      return lane.startsWith('pull:') || (head !== undefined && head <= score) ? [] : [score]
    })
    if (sooner.length === 0) return expect(inMs).toBeNull()
    const expected = Math.max(0, Math.min(...sooner) - (now ?? (await this.w.now())))
    expect(inMs).toBeGreaterThanOrEqual(expected)
    expect(inMs).toBeLessThan(expected + QUARTER)
  }
}
