import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { CLIENT_TIMES } from '../../../../src/http/connections/client-timeouts.ts'
import { makeApiKey, parseApiKeys } from '../../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../../support/app.ts'
import { httpApp } from '../../../support/http-app.ts'
import { connectRaw } from '../../../support/raw-http.ts'
import { expectAsDocumented, withStatus } from './documented.ts'
import { REQUESTS, send } from './requests.ts'

/** Answers to requests that are wrong. */
export function describeRefusals(): void {
  describe('the refusals of every route', () => {
    const world = useApp()
    it('are as documented for an unknown message', async () => {
      for (const [name] of withStatus(404)) expectAsDocumented(name, 404, await send(world(), name))
    })

    it('are as documented for a client that accepts nothing of what there is', async () => {
      const headers = { accept: 'image/png' }
      for (const [name] of withStatus(406))
        expectAsDocumented(name, 406, await send(world(), name, { headers }))
    })

    it('are as documented for invalid requests', async () => {
      for (const [name, { requestBody, parameters = [] }] of withStatus(400)) {
        const wrong = requestBody
          ? ['{"a":', '[]', '{"unknown":1}', ...(requestBody.required === false ? [] : [''])]
          : parameters.some((parameter) => parameter.in === 'query')
            ? ['?from=x', '?unknown=1']
            : ['%zz']
        for (const each of wrong) {
          const { url } = REQUESTS[name] ?? { url: '' }
          const broken = requestBody
            ? { payload: each }
            : { url: each === '%zz' ? `${url}${each}` : url.split('?')[0] + each }
          expectAsDocumented(name, 400, await send(world(), name, broken))
        }
      }
    })

    it('are as documented for a body that is too large', async () => {
      const payload = JSON.stringify({ payload: 'x'.repeat(17_000_000) })
      for (const [name] of withStatus(413))
        expectAsDocumented(name, 413, await send(world(), name, { payload }))
    })

    it('are as documented for a body of another type', async () => {
      const headers = { 'content-type': 'application/xml' }
      for (const [name] of withStatus(415)) {
        expectAsDocumented(name, 415, await send(world(), name, { payload: '<x/>', headers }))
      }
    })

    it('are as documented for a body in another content or transfer coding', async () => {
      for (const [name] of withStatus(501)) {
        const answer = await send(world(), name, { headers: { 'content-encoding': 'br' } })
        expectAsDocumented(name, 415, answer)
        expect(answer.headers['accept-encoding']).toBe('gzip')
        const headers = { 'transfer-encoding': 'gzip, chunked' }
        expectAsDocumented(name, 501, await send(world(), name, { headers }))
      }
    })

    it('are as documented for a body that does not come', async () => {
      const app = await httpApp(
        {},
        {
          clientTimes: { ...CLIENT_TIMES, silenceMs: 50, everyMs: 10 },
        },
      )
      onTestFinished(() => app.close())
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      for (const [name] of withStatus(408)) {
        const [method = '', path = ''] = name.split(' ')
        const client = await connectRaw(url)
        const type = 'host: localhost\r\ncontent-type: application/json'
        client.socket.write(
          `${method} ${path.replaceAll(/[{}]/g, '')} HTTP/1.1\r\n${type}\r\ncontent-length: 9\r\n\r\n{`,
        )
        const [head = '', body = ''] = (await client.closed()).split('\r\n\r\n')
        const [, status = '', ...fields] = head.split(/ |\r\n/)
        const isProblem = fields.includes('application/problem+json;')
        expectAsDocumented(name, 408, {
          statusCode: Number(status),
          headers: { 'content-type': isProblem ? 'application/problem+json' : 'application/json' },
          body,
          json: () => JSON.parse(body),
        } as unknown as LightMyRequestResponse)
      }
    })
  })
  describe('the answers at the door', () => {
    const reader = makeApiKey('reader', 'read')
    const writer = makeApiKey('writer', 'write')
    let app: FastifyInstance
    beforeAll(async () => {
      app = await httpApp({}, { keys: parseApiKeys(`${reader.entry},${writer.entry}`) })
    })
    afterAll(() => app.close())

    it('are as documented for a client without a key', async () => {
      for (const [name] of withStatus(401)) expectAsDocumented(name, 401, await send({ app }, name))
    })

    it('are as documented for a key without the scope', async () => {
      // Any key will do to ask what it is.
      for (const [name] of withStatus(401).filter(([each]) => each !== 'GET /v1/me')) {
        const { key } = name.startsWith('GET') ? writer : reader
        const headers = { authorization: `Bearer ${key}` }
        expectAsDocumented(name, 403, await send({ app }, name, { headers }))
      }
    })

    it('are as documented for a Host that is not served', async () => {
      const keyless = await httpApp({})
      const headers = { host: 'rebound.example' }
      for (const [name] of withStatus(403))
        expectAsDocumented(name, 403, await send({ app: keyless }, name, { headers }))
      await keyless.close()
    })

    it('let everybody read the document and the reference', async () => {
      for (const url of ['/openapi.json', '/docs', '/docs/', '/docs/static/swagger-ui.css', '/docs/json']) {
        expect((await app.inject(url)).statusCode, url).toBe(200)
      }
    })

    it('are as documented for a client that asks too often', async () => {
      const limited = await httpApp({}, { perMinute: 1 })
      await limited.inject('/')
      for (const [name] of withStatus(429)) expectAsDocumented(name, 429, await send({ app: limited }, name))
      await limited.close()
    })
  })
}
