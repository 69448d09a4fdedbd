import type { Readable } from 'node:stream'
import { expect } from 'vitest'
import { useApp } from './app.ts'

/** The result of one message of a batch. */
export interface Result {
  line?: number
  id?: string
  status: number
  detail?: string
}

export const PATH = '/v1/messages/batch'
export const LINES = { 'content-type': 'application/x-ndjson' }
/** The largest message and JSON batch, bytes, that the app of `useBatchApi` accepts. */
export const LIMIT = 2_048
export const BATCH_LIMIT = 1_048_576

export const later = (payload: unknown) => ({ delay: '2h', payload })

export const parseLines = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Result)

/** An app with small limits for the tests of a file, and its batch route. */
export function useBatchApi() {
  const world = useApp({ BODY_LIMIT_BYTES: String(LIMIT), BATCH_BODY_LIMIT_BYTES: String(BATCH_LIMIT) })
  const postLines = async (payload: string | Buffer | Readable) => {
    const answer = await world().app.inject({ method: 'POST', url: PATH, headers: LINES, payload })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-type']).toBe('application/x-ndjson')
    return parseLines(answer.body)
  }
  /** The stored payload of each result. */
  const payloads = async (results: readonly Result[]) => {
    const records = await Promise.all(
      results.map(({ id = '' }) => world().client.hget(world().keysFor(id).messages, id)),
    )
    return records.map((record) => JSON.parse(record?.slice(record.indexOf('\n') + 1) ?? 'null') as unknown)
  }
  return { world, stored: () => world().stored(), postLines, payloads }
}
