import { engineAnswers } from './engine.ts'
import { missingProxies } from './programs.ts'

/** Prints what vitest.config.ts leaves out. */
export async function setup(): Promise<void> {
  if (!(await engineAnswers()))
    console.log('no container engine answers: test/e2e/image is not part of this run')
  for (const name of missingProxies()) {
    console.log(`there is no ${name} on this machine: test/e2e/proxy/${name} is not part of this run`)
  }
}
