import { onTestFinished } from 'vitest'
import type { Service } from './service.ts'

/** Steady traffic to every destination while servers and connections fail. */
export interface Traffic {
  /** the due time and destination of each accepted message, by its id */
  readonly accepted: ReadonlyMap<string, { readonly dueAt: number; readonly to: Where }>
  /** the leased messages, in order */
  readonly pulls: readonly Pull[]
  /** Claims and acknowledges due messages, as it does regularly until it is stopped. */
  pull(): Promise<void>
  /** Stops sending and claiming, and waits for requests in flight. */
  stop(): Promise<void>
}

interface Pull {
  readonly id: string
  readonly claim: number
  /** Date.now() */
  readonly at: number
}

type Where = 'console' | 'webhook' | 'failing webhook' | 'stream' | 'pull'

const EVERY_MS = 10
const AT_ONCE_MAX = 60
const WITHIN_MS = 5_000
const PLACES: readonly Where[] = ['console', 'webhook', 'failing webhook', 'stream', 'pull']

/**
 * Posts messages to servers in turn, about one every 10 ms, for each destination in turn: the console, a receiver
 * (`/hook`, and `/fails` which it may refuse), a stream and a queue, from which it claims. All have tags, and every
 * third has an id of the client. Some are changed or cancelled. It ends with the test.
 */
export function startTraffic(servers: () => readonly Service[], receiverUrl: string): Traffic {
  const accepted = new Map<string, { dueAt: number; to: Where }>()
  const pulls: Pull[] = []
  const inFlight = new Set<Promise<void>>()
  let count = 0

  const destinationOf = (to: Where) => {
    if (to === 'webhook') return { type: 'webhook', url: `${receiverUrl}/hook` }
    if (to === 'failing webhook') return { type: 'webhook', url: `${receiverUrl}/fails` }
    if (to === 'stream') return { type: 'stream', name: 'traffic' }
    return to === 'pull' ? { type: 'pull', queue: 'traffic' } : { type: 'console' }
  }

  /** Ignores failures: servers and Redis are unavailable at times. */
  const call = async <T>(method: string, path: string, body?: unknown) => {
    const alive = servers().filter((server) => !server.hasEnded())
    const server = alive[count % Math.max(1, alive.length)]
    const signal = AbortSignal.timeout(WITHIN_MS)
    return server?.call<T>(method, path, body, signal).catch(() => undefined)
  }

  async function post(): Promise<void> {
    count += 1
    const n = count
    const to = PLACES[n % PLACES.length] ?? 'console'
    const dueAt = Date.now() + Math.floor(Math.random() * 800)
    const answer = await call<{ id: string }>('POST', '/v1/messages', {
      ...{ payload: `message ${n}`, at: dueAt, tags: [`tag-${n % 3}`], destination: destinationOf(to) },
      ...{ retry: { attempts: 4, minMs: 20, maxMs: 100 } },
      ...(n % 3 === 0 ? { id: `traffic-${n}` } : {}),
    })
    if (answer?.status !== 201) return
    const { id } = answer.body
    if (n % 10 === 7) {
      // It may be in delivery already, and then this is refused.
      await call('PATCH', `/v1/messages/${id}`, { tags: ['changed'], at: dueAt + 50 })
    }
    if (n % 20 === 9) {
      const cancelled = await call('DELETE', `/v1/messages/${id}`)
      if (cancelled?.status !== 404 && cancelled?.status !== 409) return
    }
    accepted.set(id, { dueAt, to })
  }

  async function pull(): Promise<void> {
    const answer = await call<{ messages: { id: string; token: string; claim: number }[] }>(
      'POST',
      '/v1/queues/traffic/claim',
      { limit: 20 },
    )
    const messages = answer?.status === 200 ? answer.body.messages : []
    if (messages.length === 0) return
    for (const { id, claim } of messages) pulls.push({ id, claim, at: Date.now() })
    await call('POST', '/v1/queues/traffic/acknowledge', {
      messages: messages.map(({ id, token }) => ({ id, token })),
    })
  }

  const timer = setInterval(() => {
    if (inFlight.size >= AT_ONCE_MAX) return
    const done: Promise<void> = (count % 8 === 5 ? Promise.all([post(), pull()]) : post())
      .then(() => undefined)
      .finally(() => inFlight.delete(done))
    inFlight.add(done)
  }, EVERY_MS)
  const stop = async () => {
    clearInterval(timer)
    await Promise.all(inFlight)
  }
  onTestFinished(stop)
  return { accepted, pulls, pull, stop }
}
