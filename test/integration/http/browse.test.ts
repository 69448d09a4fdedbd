import type { FastifyInstance } from 'fastify'
import { expect, it } from 'vitest'
import { makeApiKey } from '../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../support/app.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'

const keys = {
  browse: makeApiKey('browser', 'browse'),
  read: makeApiKey('reader', 'read'),
  write: makeApiKey('writer', 'write'),
  changes: makeApiKey('changer', 'write+browse'),
}
const world = useApp({
  API_KEYS: Object.values(keys)
    .map(({ entry }) => entry)
    .join(','),
  WEBHOOK_ALLOW: '127.0.0.1',
})

/** In every payload, header and body of this file. */
const MARKER = 'for-their-eyes-only'
const LATER = '2999-01-01T00:00:00.000Z'

const call = (key: { key: string }, method: 'GET' | 'POST' | 'PATCH', url: string, payload?: object) =>
  world().app.inject({
    method,
    url,
    headers: { authorization: `Bearer ${key.key}` },
    ...(payload === undefined ? {} : { payload }),
  })

interface Operation {
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly schema: { readonly enum?: readonly string[] }
  }[]
  readonly responses: Readonly<Record<string, { readonly content?: object }>>
}

/** Messages in every state that has something to hide. @returns their ids, and the lanes they are for */
async function fill(): Promise<Readonly<Record<string, readonly string[]>>> {
  const { url } = await openReceiver(answerWith(410, { 'x-answer': MARKER }, MARKER))
  const hook = { type: 'webhook', url: `${url}/hook`, headers: { 'x-marker': MARKER } }
  const messages = [
    { id: 'waiting', at: LATER, destination: hook },
    { id: 'dead', destination: hook, retry: { attempts: 1 } },
    { id: 'retried', destination: hook, retry: { attempts: 9, minMs: 3_600_000, jitter: 'none' } },
    { id: 'pulled', destination: { type: 'pull', queue: 'mails' } },
    { id: 'streamed', destination: { type: 'stream', name: 'invoices' } },
    { id: 'delivered' },
    { id: 'unreadable', at: LATER },
  ].map((message) => ({ ...message, payload: { text: MARKER }, tags: ['t'] }))
  expect((await call(keys.write, 'POST', '/v1/messages/batch', { messages })).json()).toMatchObject({
    results: messages.map(({ id }) => ({ id, status: 201 })),
  })
  await world().client.hset(world().keysFor('unreadable').messages, 'unreadable', `garbage ${MARKER}`)
  world().startClaiming()
  const isIn = async (status: string, id: string) =>
    (await call(keys.read, 'GET', `/v1/messages/${id}`)).json<{ status: string }>().status === status
  await until('all have ended', async () => (await isIn('dead', 'dead')) && isIn('delivered', 'delivered'))
  await until('all have ended', async () => {
    const retried = await call(keys.read, 'GET', '/v1/messages/retried')
    return retried.json<{ attempts: number }>().attempts === 1 && isIn('delivered', 'streamed')
  })
  const origin = new URL(url).origin
  return {
    id: messages.map(({ id }) => id),
    queue: ['mails'],
    lane: ['console', 'stream', 'pull:mails', `webhook:${origin}`].map(encodeURIComponent),
  }
}

/** Every way to read something: each GET with each value of its path, and with each word of its query. */
function readsOf(app: FastifyInstance, values: Readonly<Record<string, readonly string[]>>): string[] {
  const { paths } = JSON.parse(JSON.stringify(app.swagger())) as {
    paths: Record<string, Record<string, Operation>>
  }
  return Object.entries(paths).flatMap(([path, { get }]) => {
    // What never ends is for the tests of the events.
    if (get === undefined || JSON.stringify(get.responses).includes('text/event-stream')) return []
    const parameter = /\{(\w+)\}/.exec(path)?.[1]
    const urls =
      parameter === undefined
        ? [path]
        : (values[parameter] ?? ['none']).map((value) => path.replace(`{${parameter}}`, value))
    const queries = (get.parameters ?? []).flatMap(({ name, in: place, schema }) =>
      place === 'query' ? (schema.enum ?? []).map((word) => `?${name}=${word}`) : [],
    )
    return urls.flatMap((url) => ['', ...queries].map((query) => url + query))
  })
}

it('a key with the scope browse may read every GET, and sees no payload, header or body', async () => {
  const urls = readsOf(world().app, await fill())
  const shown: string[] = []
  for (const url of urls) {
    const [read, browsed] = [await call(keys.read, 'GET', url), await call(keys.browse, 'GET', url)]
    expect(browsed.statusCode, url).toBe(read.statusCode)
    expect(browsed.statusCode, url).not.toBe(403)
    expect(browsed.body, url).not.toContain(MARKER)
    expect(JSON.stringify(browsed.headers), url).not.toContain(MARKER)
    if (read.body.includes(MARKER)) shown.push(url)
  }
  // Else there would be nothing to hide.
  const ids = ['waiting', 'dead', 'retried', 'pulled', 'streamed', 'delivered', 'unreadable']
  expect(shown).toEqual(expect.arrayContaining(ids.map((id) => `/v1/messages/${id}`)))
  expect(shown).toEqual(
    expect.arrayContaining(
      ['scheduled', 'dead', 'delivered'].map((status) => `/v1/messages?status=${status}`),
    ),
  )
})

it('what a key with browse and write is answered has none either, and what remains is the same', async () => {
  const message = { id: 'it', at: LATER, payload: MARKER, tags: ['t'] }
  const destination = { type: 'webhook', url: 'https://example.com/', headers: { 'x-marker': MARKER } }
  const created = await call(keys.changes, 'POST', '/v1/messages', { ...message, destination })
  expect(created.json()).toMatchObject({
    ...{ id: 'it', at: LATER, payloadOmitted: true, tags: ['t'], version: 1 },
    destination: { type: 'webhook', url: 'https://example.com/' },
  })
  const answers = [
    created,
    await call(keys.changes, 'POST', '/v1/messages', { ...message, destination }),
    await call(keys.changes, 'PATCH', '/v1/messages/it', { tags: ['u'] }),
    await call(keys.changes, 'POST', '/v1/operations', { action: 'cancel', all: true, dryRun: true }),
  ]
  for (const { statusCode, body } of answers) {
    expect(statusCode).toBeLessThan(300)
    expect(body).not.toContain(MARKER)
  }
  expect((await call(keys.write, 'PATCH', '/v1/messages/it', { tags: ['v'] })).body).toContain(MARKER)
  expect((await call(keys.browse, 'PATCH', '/v1/messages/it', { tags: ['v'] })).statusCode).toBe(403)
})
