import { expect } from 'vitest'
import type { TestApp } from './app.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

export const IN_AN_HOUR = new Date(Date.now() + 3_600_000).toISOString()

/** What an answer is that refuses, as far as the status and these words of its detail go. */
export const problem = (status: number, detail?: RegExp) => ({
  status,
  body: expect.objectContaining({
    status,
    ...(detail === undefined ? {} : { detail: expect.stringMatching(detail) }),
  }),
})

/** Asks the message API of the app, past the network. */
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
