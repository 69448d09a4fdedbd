import { isObject, isText, parseJson } from '../domain/json/shape.ts'
import { isTime } from './readable.ts'

/** A change of a message by a client. */
export interface Change {
  readonly version: number
  /** epoch ms */
  readonly at: number
  /** name of the API key; absent without keys */
  readonly by?: string
}

/** The attempt by which a message was delivered, as far as it is known. */
export interface SuccessfulAttempt {
  readonly claim?: number
  readonly durationMs?: number
  /** of an HTTP response */
  readonly status?: number
  /** id of the server that made it; absent for a worker's */
  readonly server?: string
}

/** What a record tells in addition to its message. */
export interface Marks {
  /** the last ones, oldest first */
  readonly changes: readonly Change[]
  /** only in a history entry of a delivered message */
  readonly delivery?: SuccessfulAttempt
}

/** Reads a record's options h and a, see lua/lib/record.lua; what cannot be read is left out. */
export function marksOf(record: string): Marks {
  const head = record.slice(0, record.indexOf('\n'))
  const brace = head.indexOf('{')
  const options = brace === -1 ? undefined : parseJson(head.slice(brace))
  if (!isObject(options)) return { changes: [] }
  const { h, a } = options
  const changes = Array.isArray(h) ? h.filter(isText).flatMap(readChange) : []
  return { changes, ...(isText(a) ? { delivery: readAttempt(a) } : {}) }
}

function readChange(text: string): Change[] {
  const [, version, at, by] = /^(\d{1,15}) (\d{1,15})(?: ([\w.-]+))?$/.exec(text) ?? []
  if (version === undefined || !isTime(Number(at))) return []
  return [{ version: Number(version), at: Number(at), ...(by === undefined ? {} : { by }) }]
}

function readAttempt(text: string): SuccessfulAttempt {
  const [, claim, durationMs, status, server] = /^(\d+|-) (\d+|-) (\d+|-) ([\w-]+)$/.exec(text) ?? []
  const isKnown = (word: string | undefined) => word !== undefined && word !== '-'
  return {
    ...(isKnown(claim) ? { claim: Number(claim) } : {}),
    ...(isKnown(durationMs) ? { durationMs: Number(durationMs) } : {}),
    ...(isKnown(status) ? { status: Number(status) } : {}),
    ...(server !== undefined && isKnown(server) ? { server } : {}),
  }
}
