import { setMaxListeners } from 'node:events'
import type { OperationScripts, TakenOperation } from '../store/scripts/operations.ts'
import type { Cursor } from './cursor.ts'
import type { OperationRequest } from './request.ts'
import { LEASE_MS, type Run, type RunDeps, runOperation } from './run.ts'

/** A safety net: a server that is gone is noticed by its heartbeat. */
const LOOK_EVERY_MS = 30_000

/** Runs a server's operations: those that it began, and those whose server is gone. */
export interface OperationRunner {
  /** Runs one that has been recorded as this server's. */
  run(run: Run): void
  /** Looks for operations whose server is gone, or was cut off from Redis. To be called after every (re)connection. */
  start(): void
  /** Resumes the operations of a server that is no longer among these. */
  onMembers(servers: readonly { readonly id: string }[]): void
  /** Leaves its operations to other servers. Idempotent; may be called before start(). Never throws. */
  stop(): Promise<void>
}

export interface OperationRunnerDeps extends RunDeps {
  readonly scripts: Pick<OperationScripts, 'save' | 'resume' | 'clocksApartMs'>
}

export function createOperationRunner(deps: OperationRunnerDeps): OperationRunner {
  const { scripts, owner } = deps
  const running = new Set<Promise<void>>()
  const ending = new AbortController()
  setMaxListeners(0, ending.signal) // each operation that waits listens
  let timer: NodeJS.Timeout | undefined
  let leaseTimer: NodeJS.Timeout | undefined
  let members: readonly { readonly id: string }[] = []

  function run(begun: Run): void {
    const ended = runOperation(deps, begun, ending.signal).finally(() => running.delete(ended))
    running.add(ended)
  }

  /** While any operation runs, again and again: a server that hangs is told by its lease alone. */
  async function look(): Promise<void> {
    clearTimeout(leaseTimer)
    while (!ending.signal.aborted) {
      const taken = await scripts.resume(owner, LEASE_MS)
      if (taken === 'none runs') return
      if (taken === 'all have servers') {
        leaseTimer = setTimeout(lookSafely, LEASE_MS)
        return
      }
      run(toRun(taken))
    }
  }
  // The next look makes up for a failed one. Others log that Redis is away.
  const lookSafely = () => void look().catch(() => undefined)

  return {
    run,
    start() {
      if (ending.signal.aborted) return
      // Servers that were started together look one after the other.
      timer ??= setInterval(lookSafely, LOOK_EVERY_MS * (0.8 + 0.4 * Math.random()))
      lookSafely()
    },
    onMembers(servers) {
      const isGone = members.some(({ id }) => !servers.some((server) => server.id === id))
      members = servers
      if (!isGone || timer === undefined || ending.signal.aborted) return
      lookSafely()
    },
    async stop() {
      clearInterval(timer)
      clearTimeout(leaseTimer)
      ending.abort()
      await Promise.all(running)
    },
  }
}

const toRun = ({ id, startedAt, startedBy, request, cursor, ...progress }: TakenOperation): Run => ({
  id,
  startedAt,
  startedBy,
  request: JSON.parse(request) as OperationRequest,
  cursor: JSON.parse(cursor) as Cursor,
  progress,
})
