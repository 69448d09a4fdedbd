import { describe, expect, it, onTestFinished } from 'vitest'
import { httpApp } from '../../support/http-app.ts'

async function ask(method: string, url: string, headers: Record<string, string> = {}, payload?: string) {
  const app = await httpApp({}, { corsOrigins: ['https://app.example.com'] })
  onTestFinished(() => app.close())
  return app.inject({ method: method as 'GET', url, headers, ...(payload === undefined ? {} : { payload }) })
}

describe('a path under /v1 with a method that it has not', () => {
  it.each([
    ['PUT', '/v1/messages', 'GET, HEAD, POST'],
    ['DELETE', '/v1/messages?status=dead', 'GET, HEAD, POST'],
    ['POST', '/v1/messages/it', 'DELETE, GET, HEAD, PATCH'],
    ['PUT', '/v1/messages/a%20b', 'DELETE, GET, HEAD, PATCH'],
    ['PUT', '/v1/messages/batch', 'DELETE, GET, HEAD, PATCH, POST'],
    ['GET', '/v1/queues/mails/claim', 'POST'],
    ['HEAD', '/v1/queues/mails/claim', 'POST'],
    ['GET', '/v1/queues/mails/acknowledge', 'POST'],
    ['GET', '/v1/dead', 'DELETE'],
    ['GET', '/v1/dead/redrive', 'POST'],
    ['POST', '/v1/stats', 'GET, HEAD'],
    ['POST', '/v1/%66orecast', 'GET, HEAD'],
    ['OPTIONS', '/v1/messages', 'GET, HEAD, POST'],
    ['PROPFIND', '/v1/messages', 'GET, HEAD, POST'],
  ])('%s %s is 405 and says which there are: %s', async (method, url, allow) => {
    const answer = await ask(method, url)
    expect(answer.statusCode).toBe(405)
    expect(answer.headers.allow).toBe(allow)
    if (method === 'HEAD') return
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(answer.json()).toEqual({
      type: 'about:blank',
      title: 'Method Not Allowed',
      status: 405,
      code: 'method_not_allowed',
      detail: `no route ${method} ${url.split('?')[0]}; allowed: ${allow}`,
    })
  })

  it('is 405 whatever is wrong with its body', async () => {
    const answer = await ask('PUT', '/v1/messages', { 'content-type': 'text/plain' }, '{')
    expect(answer.statusCode).toBe(405)
  })
})

describe('a path that no method has', () => {
  it.each([
    '/v1',
    '/v1/',
    '/v1/nothing',
    '/v1/messages/it/more',
    '/v1/queues/mails',
    '/v1/queues/a/b/claim',
    '/v1/Stats',
  ])('%s is 404', async (url) => {
    for (const method of ['GET', 'PUT', 'OPTIONS']) {
      const answer = await ask(method, url)
      expect(answer.statusCode, method).toBe(404)
      expect(answer.headers).not.toHaveProperty('allow')
    }
  })

  it('outside /v1 is one whatever it has', async () => {
    for (const url of ['/echoAtTime', '/health']) {
      const answer = await ask('PUT', url)
      expect([answer.statusCode, answer.headers.allow]).toEqual([404, undefined])
    }
  })
})
