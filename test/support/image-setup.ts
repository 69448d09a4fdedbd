import { engineAnswers } from './engine.ts'

/** Says what vitest.config.ts leaves out. */
export async function setup(): Promise<void> {
  if (!(await engineAnswers())) console.log('no container engine answers: test/image is not part of this run')
}
