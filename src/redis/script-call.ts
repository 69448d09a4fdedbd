import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Command, type Redis } from 'ioredis'
import { SchedulerError } from '../errors.ts'
import { toSchedulerError } from './failures.ts'
import type { LuaSource } from './lua.ts'

/** A cluster's node that is just being connected to takes nothing until it is: a call is tried again after these. */
const UNSENT_WAITS_MS = [10, 40, 100]

type Values = readonly (string | number)[]

/** One EVALSHA or EVAL, which knows whether it was sent and how it ended is unknown. */
class ScriptCall extends Command {
  unanswered = false
  /** rejects past the cluster client, which wraps `reject` */
  readonly #fail = this.reject

  /** Called for each connection it is written to, as redirections are followed. */
  override toWritable(socket: object): string | Buffer {
    const pass = this.reject
    this.unanswered = true
    this.reject = (error) => {
      const isReply = error.name === 'ReplyError'
      if (isReply) this.unanswered = false
      // Callers decide where and when else to try; the client would ask nodes at random, a while longer than anybody waits.
      if (isReply && error.message.startsWith('TRYAGAIN')) this.#fail(error)
      else pass(error)
    }
    return super.toWritable(socket)
  }
}

/**
 * Makes the call of a script by its hash, or by its text where Redis does not know it yet.
 *
 * @returns a function of the keys and arguments that rejects with a SchedulerError as toSchedulerError says; it is
 *   `perhapsDone` only if the call was sent and no answer has come. Redirections are followed; what is perhaps done is
 *   never sent again.
 */
export function scriptCaller(
  client: Redis | Cluster,
  { name, lua }: LuaSource,
): (keys: Values, args: Values) => Promise<unknown> {
  const sha = createHash('sha1').update(lua).digest('hex')

  const send = async (command: 'eval' | 'evalsha', keys: Values, args: Values): Promise<unknown> => {
    const text = command === 'eval' ? lua : sha
    const call = new ScriptCall(command, [text, keys.length, ...keys, ...args], { replyEncoding: 'utf8' })
    try {
      client.sendCommand(call)
      return await call.promise
    } catch (error) {
      const isUnknown = error instanceof Error && error.message.startsWith('NOSCRIPT')
      if (isUnknown && command === 'evalsha') return send('eval', keys, args)
      throw toSchedulerError(`${name}.lua`, error, call.unanswered)
    }
  }

  if (!(client instanceof Cluster)) return (keys, args) => send('evalsha', keys, args)
  return async (keys, args) => {
    for (const wait of UNSENT_WAITS_MS) {
      try {
        return await send('evalsha', keys, args)
      } catch (error) {
        if (client.status !== 'ready' || !isUnsent(error)) throw error
      }
      await delay(wait)
    }
    return send('evalsha', keys, args)
  }
}

/** Nothing of it reached a node: not a reply that says why not, either. */
const isUnsent = (error: unknown): boolean =>
  error instanceof SchedulerError &&
  error.code === 'STORE_UNAVAILABLE' &&
  !error.perhapsDone &&
  (error.cause as Error).name !== 'ReplyError'
