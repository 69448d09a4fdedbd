import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'

const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'

/** Each is text that parsing and writing again would change. */
const PAYLOADS = [
  '{"tweet":1850000000000000001,"tiny":1e-400,"huge":1e400,"cents":1.10,"zero":-0.0}',
  '{"a":1,"a":2,"__proto__":{"b":[]},"2":{},"1":""}',
  '"\\/\\u0041\\ud800\\u2028"',
  `{"digits":${'1234567890'.repeat(10)}}`,
  'null',
]

describe('a payload', () => {
  it('goes by every way to every destination, and into every answer, as the text it came as', async () => {
    const receiver = await openReceiver(answerWith(200))
    const { servers } = await startFleet({ size: 1, env: { WEBHOOK_ALLOW: '127.0.0.1' } })
    const url = servers[0]?.url ?? ''
    const ask = async (path: string, body?: string, type = JSON_TYPE, method = 'POST') => {
      const init = body === undefined ? {} : { method, body, headers: { 'content-type': type } }
      return (await fetch(url + path, init)).text()
    }
    const webhook = `{"type":"webhook","url":"${receiver.url}"}`
    const sent = (payload: string, rest: string) => `{"payload" : ${payload} ,${rest}}`

    for (const payload of PAYLOADS) {
      const stored = `"payload":${payload},`
      expect(await ask('/v1/messages', sent(payload, `"id":"x","delay":"1h"`))).toContain(stored)
      expect(await ask('/v1/messages/x')).toContain(stored)
      expect(await ask('/v1/messages')).toContain(stored)
      await ask('/v1/messages/x', '{"payload":0}', JSON_TYPE, 'PATCH')
      expect(await ask('/v1/messages/x', sent(payload, '"delay":"2h"'), JSON_TYPE, 'PATCH')).toContain(stored)
      await fetch(`${url}/v1/messages/x`, { method: 'DELETE' })

      const toWebhook = sent(payload, `"destination":${webhook}`)
      await ask('/v1/messages', toWebhook)
      await ask('/v1/messages/batch', `{ "messages": [ ${toWebhook} ] }`)
      await ask('/v1/messages/batch', `${toWebhook}\n`, LINES_TYPE)
      await ask('/v1/messages', sent(payload, '"destination":{"type":"pull","queue":"q"}'))
      expect(await ask('/v1/queues/q/claim', '{"waitMs":20000}')).toContain(stored)
    }
    await until('all webhooks have come', () => receiver.requests.length === 3 * PAYLOADS.length)
    const wanted = PAYLOADS.flatMap((payload) => [payload, payload, payload])
    expect(receiver.requests.map(({ body }) => body).sort()).toEqual(wanted.sort())
    expect(await ask('/v1/messages?status=delivered')).toContain(`"payload":${PAYLOADS[0]},`)
  })

  it('is the same text in streams, in dead letters and on the console', async () => {
    const receiver = await openReceiver(answerWith(410))
    const fleet = await startFleet({ size: 1, env: { WEBHOOK_ALLOW: '127.0.0.1', SHARDS: '1' } })
    const [server] = fleet.servers
    const post = async (payload: string, rest: object = {}) => {
      const others = Object.entries(rest).map(
        ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
      )
      const text = `{${[...others, `"payload":${payload}`].join()}}`
      const init = { method: 'POST', body: text, headers: { 'content-type': JSON_TYPE } }
      expect((await fetch(`${server?.url}/v1/messages`, init)).status).toBe(201)
    }
    const dead = { destination: { type: 'webhook', url: receiver.url }, retry: { attempts: 1 } }
    for (const [i, payload] of PAYLOADS.entries()) {
      await post(payload)
      await post(payload, { destination: { type: 'stream', name: 's' }, tags: [String(i)] })
      await post(payload, { id: `dead-${i}`, ...dead })
    }

    const connection = connect(parseRedisUrl(inject('redisUrl')))
    onTestFinished(() => connection.close())
    await connection.waitUntilReady(60_000)
    const stream = `${keysOf(0, fleet.namespace).streamPrefix}s`
    const streamed = async () => {
      const entries = await connection.client.xrange(stream, '-', '+')
      return entries.map(([, fields]) => fields[fields.indexOf('payload') + 1])
    }
    await until('all streams have them', async () => (await streamed()).length === PAYLOADS.length)
    expect((await streamed()).sort()).toEqual([...PAYLOADS].sort())

    const listDead = async () => (await fetch(`${server?.url}/v1/messages?status=dead`)).text()
    await until('all are dead', async () => (await listDead()).split('"id":').length > PAYLOADS.length)
    for (const payload of PAYLOADS) expect(await listDead()).toContain(`"payload":${payload},`)

    // A string's text is its msg; of anything else its JSON is.
    await until('the console has all', () => fleet.delivered().length === PAYLOADS.length)
    const shown = PAYLOADS.map((payload) => (payload.startsWith('"') ? JSON.parse(payload) : payload))
    expect(
      fleet
        .delivered()
        .map(({ msg }) => msg)
        .sort(),
    ).toEqual(shown.sort())
  })
})
