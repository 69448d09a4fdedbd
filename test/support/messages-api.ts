import { expect } from 'vitest'
import type { TestApp } from './app.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

export const IN_AN_HOUR = new Date(Date.now() + 3_600_000).toISOString()

/** A problem with this status and a detail that matches, for `toMatchObject`. */
export const problem = (status: number, detail?: RegExp) => ({
  status,
  body: expect.objectContaining({
    status,
    ...(detail === undefined ? {} : { detail: expect.stringMatching(detail) }),
  }),
})

/** Requests to the message API of an app, without the network. */
export function messagesApi(world: () => TestApp) {
  const send = async (
    method: Method,
    url: string,
    payload?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const answer = await world().app.inject({
      method,
      url,
      headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(payload === undefined ? {} : { payload: JSON.stringify(payload) }),
    })
    const body = answer.body === '' ? {} : answer.json<Record<string, unknown>>()
    return { status: answer.statusCode, headers: answer.headers, body }
  }
  const post = (body: unknown) => send('POST', '/v1/messages', body)
  return { send, post }
}
