import { AsyncLocalStorage } from 'node:async_hooks'
import type { TestContext } from 'vitest'

/** A running test, as the code that it calls sees it. */
interface Owner {
  readonly context: TestContext
  ended: boolean
}

const owners = new AsyncLocalStorage<Owner>()

/** Runs a test so that all code it calls knows the test, even after a timeout. */
export async function runOwned(context: TestContext, runTest: () => Promise<void>): Promise<void> {
  const owner: Owner = { context, ended: false }
  try {
    await owners.run(owner, runTest)
  } finally {
    owner.ended = true
  }
}

/** Runs something as if no test had called it. The caller has to end what it starts. */
export const withoutOwner = <T>(act: () => T): T => owners.exit(act)

/**
 * Runs something at the end of the calling test, whether it passes or fails. Does nothing outside tests, as
 * in `beforeAll` and in global set-up, where hooks have to do it.
 *
 * @throws Error when the test has ended: after a timeout it might still start something
 */
export function whenTestEnds(act: () => unknown): void {
  const owner = owners.getStore()
  if (owner === undefined) return
  if (owner.ended || owner.context.signal.aborted) throw new Error('the test that calls this has ended')
  owner.context.onTestFinished(async () => void (await act()))
}
