import { NO_EVENTS } from '../../src/events/sink.ts'
import { createRedisClock } from '../../src/store/redis-clock.ts'

/** What code that tells events is given where nobody listens. */
export const UNTOLD = { events: NO_EVENTS, clock: createRedisClock() }
