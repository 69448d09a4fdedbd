import { AsyncLocalStorage } from 'node:async_hooks'
import type { TestContext } from 'vitest'

/** A test while it runs, as all that it calls sees it. */
interface Owner {
  readonly context: TestContext
  ended: boolean
}

const owners = new AsyncLocalStorage<Owner>()

/** Runs a test so that what it calls, also once its time is up, knows whose it is. */
export async function runOwned(context: TestContext, runTest: () => Promise<void>): Promise<void> {
  const owner: Owner = { context, ended: false }
  try {
    await owners.run(owner, runTest)
  } finally {
    owner.ended = true
  }
}

/** Runs something as if no test had called it: whoever calls this sees to the end of what it starts. */
export const withoutOwner = <T>(act: () => T): T => owners.exit(act)

/**
 * Has something done when the test ends that this is called from, whatever its outcome. Does nothing outside tests, as
 * in `beforeAll` and in global set-up, where hooks have to see to it.
 *
 * @throws Error when the test has ended, as one that ran out of time may still be about to start something
 */
export function whenTestEnds(act: () => unknown): void {
  const owner = owners.getStore()
  if (owner === undefined) return
  if (owner.ended || owner.context.signal.aborted) throw new Error('the test that calls this has ended')
  owner.context.onTestFinished(async () => void (await act()))
}
