import { expect } from 'vitest'
import { roomsOf, WIDE, workerRoom } from '../../../support/claim-all.ts'
import { dump } from '../../../support/invariants.ts'
import type { ScriptWorld } from '../../../support/script-world.ts'
import { cancel, redrive, reschedule, schedule, shift } from './changes.ts'
import { acknowledge, claim, extend, release } from './claims.ts'
import { compare } from './compare.ts'
import { CLIENT_IDS, type Operation, STEP } from './operations.ts'
import { Trial } from './trial.ts'

/** One run: every operation on the scripts and on the model, in a shard of its own. */
export class Run {
  private readonly trial: Trial

  constructor(w: ScriptWorld, shard: number, base: number, seen: Map<string, number>) {
    this.trial = new Trial(w, shard, base, seen)
  }

  async do(operation: Operation): Promise<void> {
    const { trial } = this
    switch (operation.do) {
      case 'schedule':
        return schedule(trial, operation)
      case 'reschedule':
        return reschedule(trial, operation)
      case 'cancel':
        return cancel(trial, operation)
      case 'shift':
        return shift(trial, operation)
      case 'claim':
        for (const room of roomsOf(operation.room)) await claim(trial, room)
        return
      case 'acknowledge':
        return acknowledge(trial, operation)
      case 'extend':
        return extend(trial, operation)
      case 'release':
        return release(trial, operation)
      case 'redrive':
        return redrive(trial, operation)
      case 'pass':
        return trial.w.pass(operation.steps * STEP)
      case 'pause':
        return trial.pause(operation.fields)
      case 'forget':
        // The dedup window is a key that ends by itself, by Redis's own clock, which no test can move.
        trial.model.known.clear()
        await trial.w.client.del(...CLIENT_IDS.map((id) => trial.keys.seenPrefix + id))
        return
      default:
        operation satisfies never
    }
  }

  /** Compares everything that is stored with everything that should be. */
  compare(): Promise<void> {
    return compare(this.trial)
  }

  /** In the end, everything that can be delivered is, once, and nothing else. */
  async drain(): Promise<void> {
    this.trial.w.pass(40 * STEP)
    await this.trial.pause([])
    for (let round = 0; round < 3; round += 1) {
      for (const room of [WIDE, workerRoom('q')]) {
        for (const one of roomsOf(room)) {
          await claim(this.trial, one)
          const last = this.trial.claims[0]
          if (last !== undefined) await this.do({ do: 'acknowledge', held: true, claim: 0, mask: 255 })
        }
      }
    }
    expect([...this.trial.model.messages.values()].every(({ state }) => state === 'dead')).toBe(true)
  }

  /** So that the next run's looks at all keys find few. */
  async clear(): Promise<void> {
    const names = (await dump(this.trial.w, this.trial.shard)).behind('')
    if (names.length > 0) await this.trial.w.client.del(...names)
  }
}
