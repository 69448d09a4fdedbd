import { expect, onTestFinished } from 'vitest'
import type { Leases } from '../../src/leases/leases.ts'
import { httpApp } from './http-app.ts'
import { type PullingOptions, pullEntry, pullingOn } from './pulling.ts'
import type { ScriptWorld } from './script-world.ts'

/** How long leases last in this app, unless a request says otherwise. */
export const DEFAULT_LOCK_MS = 45_000

interface QueuesOptions extends PullingOptions {
  /** what the routes get instead of the leases: something around them */
  readonly around?: (leases: Leases) => Leases
}

/** The HTTP routes of queues with leases on a real Redis. It ends with the test. */
export async function queuesOn(
  w: ScriptWorld,
  { around = (leases) => leases, ...options }: QueuesOptions = {},
) {
  const pulling = pullingOn(w, options)
  const app = await httpApp({ leases: around(pulling.leases), lockMs: DEFAULT_LOCK_MS })
  onTestFinished(() => app.close()) // after the connections of the test

  /** Posts to a path below /v1/queues: text as it is, anything else as JSON. */
  const post = async (path: string, payload?: unknown, headers: Record<string, string> = {}) => {
    const answer = await app.inject({
      method: 'POST',
      url: `/v1/queues/${path}`,
      headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(payload === undefined
        ? {}
        : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
    })
    return { status: answer.statusCode, type: answer.headers['content-type'], body: answer.json() }
  }

  /** Schedules messages in the queue "jobs", due. */
  const scheduleDue = async (...ids: string[]) => {
    const due = (await w.now()) - 5
    await w.scripts.schedule(
      0,
      ids.map((id) => pullEntry(id, due)),
    )
  }
  return { ...pulling, app, post, scheduleDue }
}

/** A 400 that names a field. */
export const refusal = (path: string, message: RegExp) => ({
  status: 400,
  body: { errors: expect.arrayContaining([{ path, message: expect.stringMatching(message) }]) },
})
