import { afterAll, aroundEach } from 'vitest'
import { endChild, runningChildren } from './children.ts'
import { runOwned } from './owner.ts'

aroundEach((runTest, context) => runOwned(context, runTest))

// Set up around every test file: the first hook to be there is the last to be called.
afterAll(async () => {
  const left = runningChildren()
  await Promise.all(left.map((child) => endChild(child)))
  if (left.length === 0) return
  throw new Error(`left running: ${left.map(({ spawnargs }) => spawnargs.join(' ')).join('; ')}`)
})
