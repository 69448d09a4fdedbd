import { expect, it, onTestFinished } from 'vitest'
import { type ErrorCode, SchedulerError } from '../../../src/domain/errors.ts'
import { toErrorReply, toProblem } from '../../../src/http/errors/error-reply.ts'
import { PROBLEM_CODES } from '../../../src/http/errors/problem-code.ts'
import { httpApp } from '../../support/http-app.ts'
import { connectRaw } from '../../support/raw-http.ts'

const CLOSED_LIST = [
  ...['invalid', 'unauthorized', 'forbidden', 'not_found', 'method_not_allowed', 'id_conflict'],
  ...['message_claimed', 'message_finished', 'version_mismatch', 'leases_lost', 'too_large'],
  ...['unsupported_media_type', 'rate_limited', 'overloaded', 'store_unavailable', 'store_full'],
  ...['clock_busy', 'limit_reached', 'internal'],
]

it('the list of codes is the one that clients know', async () => {
  expect([...PROBLEM_CODES]).toEqual(CLOSED_LIST)
  const app = await httpApp({})
  const { components } = (await app.inject('/openapi.json')).json<{
    components: { schemas: Record<string, { required: string[]; properties: { code: { enum: string[] } } }> }
  }>()
  await app.close()
  expect(components.schemas.Problem?.properties.code.enum).toEqual(CLOSED_LIST)
  expect(components.schemas.Problem?.required).toContain('code')
})

it.each<[ErrorCode, number, string]>([
  ['STORE_UNAVAILABLE', 503, 'store_unavailable'],
  ['STORE_FULL', 503, 'store_full'],
  ['STORE_REFUSED', 503, 'store_unavailable'],
  ['ID_CONFLICT', 409, 'id_conflict'],
  ['MESSAGE_NOT_FOUND', 404, 'not_found'],
  ['MESSAGE_CLAIMED', 409, 'message_claimed'],
  ['MESSAGE_FINISHED', 409, 'message_finished'],
  ['VERSION_MISMATCH', 412, 'version_mismatch'],
  ['DUE_TIME_PASSED', 400, 'invalid'],
])('%s is %i %s', (error, status, code) => {
  expect(toProblem(toErrorReply(new SchedulerError(error, '')))).toMatchObject({ status, code })
})

it('a bug is internal, and what the scheduler does not know either', () => {
  expect(toProblem(toErrorReply(new Error('a secret')))).toMatchObject({ status: 500, code: 'internal' })
})

it.each([
  ['GET', '/v1/nothing', {}, 404, 'not_found'],
  ['GET', `/v1/messages/${'x'.repeat(400)}`, {}, 414, 'too_large'],
  ['GET', '/v1/messages?a=%ff', {}, 400, 'invalid'],
  ['POST', '/v1/messages', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
  ['POST', '/v1/messages', { 'transfer-encoding': 'gzip, chunked' }, 501, 'invalid'],
  ['GET', '/v1/stats', { host: 'evil.example' }, 403, 'forbidden'],
  ['GET', '/v1/stats', { host: 'localhost', origin: 'https://evil.example' }, 403, 'forbidden'],
] as const)('%s %s with %j is %i %s', async (method, url, headers, status, code) => {
  const app = await httpApp({})
  onTestFinished(() => app.close())
  const answer = await app.inject({ method, url, headers, ...(method === 'POST' ? { payload: 'x' } : {}) })
  expect(answer.json()).toMatchObject({ status, code })
})

it.each([
  ['GET /v1/stats HTTP/1.1\r\nbad header\r\n\r\n', /^HTTP\/1\.1 400 .*problem\+json.*"code":"invalid"/s],
  [`GET /v1/stats HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 .*"code":"too_large"/s],
  ['GET /v1/stats HTTP/1.1\r\nhost: localhost\r\nexpect: a\r\n\r\n', /^HTTP\/1\.1 417 .*"code":"invalid"/s],
  ['GET /health HTTP/1.1\r\nbad header\r\n\r\n', /"message":"the request is not valid HTTP"\}$/],
])('what is not even HTTP has a code where its path is of the API: %j', async (request, expected) => {
  const app = await httpApp({})
  onTestFinished(() => app.close())
  const client = await connectRaw(await app.listen({ port: 0, host: '127.0.0.1' }))
  client.socket.end(request)
  expect(await client.closed()).toMatch(expected)
})
