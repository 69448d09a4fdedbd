import type { WriteResult } from '../destinations/console/stdout.ts'
import type { Measured } from '../observability/prometheus.ts'
import type { Config } from '../server/config.ts'
import type { RedisTarget } from '../store/redis-url.ts'

/** An error as it travels between processes. */
export interface Reason {
  readonly message: string
  /** such as EADDRINUSE or EPIPE */
  readonly code?: string
}

/** What the primary tells a server. */
export type ToServer =
  | {
      readonly type: 'start'
      readonly config: Config
      readonly target: RedisTarget
      /** whether a person at a terminal reads what is written */
      readonly forTerminal: boolean
      /** whether another server has said already what a start has to say */
      readonly quietly: boolean
    }
  | { readonly type: 'stop'; readonly graceMs: number }
  | { readonly type: 'settled'; readonly id: number; readonly result: Exclude<WriteResult, Error> | Reason }
  /** asks for what it has measured */
  | { readonly type: 'measure'; readonly id: number }
  /** what all servers have measured */
  | { readonly type: 'gathered'; readonly id: number; readonly measured: readonly Measured[] }

/** What a server tells the primary. */
export type FromServer =
  /** it listens to the primary from now on */
  | { readonly type: 'hello' }
  | { readonly type: 'listening'; readonly url: string }
  /** it cannot start; it ends by itself */
  | { readonly type: 'start failed'; readonly reason: Reason }
  /** no server can continue */
  | { readonly type: 'fatal'; readonly reason: Reason }
  | { readonly type: 'redis disconnected' }
  | {
      readonly type: 'write'
      readonly id: number
      readonly text: string
      /** ms of the machine's monotonic clock; Infinity for log lines */
      readonly startBy: number
    }
  /** a write that has not begun must not begin any more */
  | { readonly type: 'withdraw'; readonly id: number }
  | { readonly type: 'measured'; readonly id: number; readonly measured: Measured }
  /** asks for what all servers have measured */
  | { readonly type: 'gather'; readonly id: number }

export type Start = Extract<ToServer, { type: 'start' }>

export function toReason(error: unknown): Reason {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code } = error as NodeJS.ErrnoException
  return code === undefined ? { message: error.message } : { message: error.message, code }
}

export const toError = ({ message, code }: Reason): Error =>
  Object.assign(new Error(message), code === undefined ? {} : { code })
