import { describe, expect, it } from 'vitest'
import { startFleet } from '../support/fleet.ts'
import { answerWith, openReceiver } from '../support/receiver.ts'
import { until } from '../support/until.ts'

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
})
