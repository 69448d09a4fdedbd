import { laneOf } from '../../../support/invariants.ts'
import type { Stored } from './types.ts'

/** What is paused in the model, by the fields that shards have: "all", "lane:<lane>", "tag:<tag>". */
export class ModelPauses {
  /** scheduled messages that a claim has set aside because of a tag */
  readonly asides = new Set<string>()
  #fields: ReadonlySet<string> = new Set()
  #isSweepDue = false

  set(fields: readonly string[]): void {
    const isTagFree = [...this.#fields].some((field) => field.startsWith('tag:') && !fields.includes(field))
    this.#isSweepDue = (this.#isSweepDue || isTagFree) && this.asides.size > 0
    this.#fields = new Set(fields)
  }

  holdsLane(lane: string): boolean {
    return this.#fields.has('all') || this.#fields.has(`lane:${lane}`)
  }

  holdsTagOf({ options }: Stored): boolean {
    return (options.tags ?? []).some((tag) => this.#fields.has(`tag:${tag}`))
  }

  /** Puts back what no tag holds any more, in the first claim after a tag was resumed. @returns whether it is that */
  sweep(messages: ReadonlyMap<string, Stored>): boolean {
    const isDue = this.#isSweepDue
    this.#isSweepDue = false
    for (const id of isDue ? [...this.asides] : []) {
      const message = messages.get(id)
      if (message !== undefined && !this.holdsTagOf(message)) this.asides.delete(id)
    }
    return isDue
  }

  /** Whether it holds a due message, as far as claims have found it. */
  holds([id, { options }]: readonly [string, Stored]): boolean {
    return this.#fields.has('all') || this.asides.has(id) || this.holdsLane(laneOf(options))
  }
}
