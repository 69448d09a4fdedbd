/** What is held back waits no longer, ms. */
const HOLD_MS = 3
/** More messages than these are worth a disk write of their own. */
const FEW = 50

/**
 * Sends small acknowledgements right behind the shard's next claim, if one is about to be sent: each alone would have
 * Redis write to disk just before that claim, which would wait for it, and its messages be late.
 */
export interface Companion {
  /** Takes note of when the next claim is to be sent. */
  expect(inMs: number): void
  /** A claim was just sent. */
  sent(): void
  /** @param count of messages @returns when to acknowledge them: at once, or behind the next claim */
  wait(count: number): Promise<void>
}

export function createCompanion(): Companion {
  let expectedAt = Number.POSITIVE_INFINITY
  let held: (() => void)[] = []
  let timer: NodeJS.Timeout | undefined

  function release(): void {
    clearTimeout(timer)
    const all = held
    held = []
    for (const go of all) go()
  }

  return {
    expect(inMs) {
      expectedAt = performance.now() + inMs
    },
    sent: release,
    async wait(count) {
      const leftMs = expectedAt - performance.now()
      if (count > FEW || leftMs <= 0 || leftMs > HOLD_MS) return
      await new Promise<void>((resolve) => {
        if (held.length === 0) timer = setTimeout(release, HOLD_MS)
        held.push(resolve)
      })
    },
  }
}
