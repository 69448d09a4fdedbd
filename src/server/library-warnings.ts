import { format } from 'node:util'
import type { Logger } from 'pino'

/** What ioredis says of INFO where the user lacks the right to it, which this service says in words of its own. */
const SAID_OTHERWISE = /^Skipping the ready check because INFO command fails/

/** Makes lines of the log of what libraries, which know no logger, would print on standard error. */
export function logLibraryWarnings(logger: Pick<Logger, 'warn'>): void {
  console.warn = (...parts: unknown[]) => {
    const text = format(...parts)
    if (!SAID_OTHERWISE.test(text)) logger.warn(text)
  }
}
