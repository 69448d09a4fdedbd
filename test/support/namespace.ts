import { randomBytes } from 'node:crypto'

/** @returns a new namespace, so that test files can run concurrently on one Redis */
export const freshNamespace = (): string => `test-${randomBytes(6).toString('hex')}`
