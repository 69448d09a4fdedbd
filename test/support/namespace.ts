import { randomBytes } from 'node:crypto'

/** A world of its own on the shared Redis, so that test files may run at the same time. */
export const freshNamespace = (): string => `test-${randomBytes(6).toString('hex')}`
