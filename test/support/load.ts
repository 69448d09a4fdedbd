import { onTestFinished } from 'vitest'
import type { Service } from './service.ts'
import { until } from './until.ts'

/** A request and its outcome. */
export interface Answer {
  readonly id: string
  /** whether the client made the id */
  readonly isOwnId: boolean
  readonly status: number
  readonly dueAt: number
  /** Date.now() */
  readonly sentAt: number
  readonly answeredAt: number
}

export interface Load {
  /** the requests answered so far */
  readonly answers: readonly Answer[]
  accepted(): Answer[]
  /** Waits until another `count` messages are accepted. */
  untilAccepted(count: number, timeoutMs?: number): Promise<void>
  /** Stops sending, and waits for all answers. */
  stop(): Promise<void>
}

const EVERY_MS = 10
const AT_ONCE_MAX = 300

/**
 * Posts messages for the console to servers in turn, about two every 10 ms, until it is stopped or the test ends. All
 * have tags, and every fourth has an id of the client.
 *
 * @param dueInMs the longest time until a message is due; each has a random part of it
 */
export function startLoad(servers: () => readonly Service[], dueInMs = 1_500): Load {
  const answers: Answer[] = []
  const inFlight = new Set<Promise<void>>()
  let count = 0

  const post = async () => {
    count += 1
    const n = count
    const all = servers()
    const server = all[n % all.length]
    if (server === undefined) return
    const sentAt = Date.now()
    const dueAt = sentAt + Math.floor(Math.random() * dueInMs)
    const message = { payload: `load ${n}`, at: dueAt, tags: [`tag${n % 3}`] }
    const body = n % 4 === 0 ? { ...message, id: `load-${n}` } : message
    const { status, body: reply } = await server.call('POST', '/v1/messages', body)
    answers.push({ id: reply.id, isOwnId: 'id' in body, status, dueAt, sentAt, answeredAt: Date.now() })
  }
  const timer = setInterval(() => {
    for (let i = 0; i < 2 && inFlight.size < AT_ONCE_MAX; i += 1) {
      const posted = post().finally(() => inFlight.delete(posted))
      inFlight.add(posted)
    }
  }, EVERY_MS)

  const stop = async () => {
    clearInterval(timer)
    await Promise.all(inFlight)
  }
  onTestFinished(stop)

  const accepted = () => answers.filter(({ status }) => status === 201)
  return {
    answers,
    accepted,
    async untilAccepted(more, timeoutMs) {
      const wanted = accepted().length + more
      await until(`${more} more are accepted`, () => accepted().length >= wanted, timeoutMs)
    },
    stop,
  }
}

/** The answers other than 201 and 503: none is allowed while Redis has faults. */
export const strangeAnswers = (load: Load): Answer[] =>
  load.answers.filter(({ status }) => status !== 201 && status !== 503)
