import { hash } from 'node:crypto'
import type { FastifyPluginAsync } from 'fastify'
import { route, text } from '../openapi/route.ts'

const STYLE = `
  :root { color-scheme: light dark }
  body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
  h1 { margin-bottom: 0 }
  h2 { margin-top: 2.5rem }
  pre { padding: 1rem; overflow-x: auto; border: 1px solid #8884; border-radius: .5rem; background: #8881 }
  code { font-family: ui-monospace, monospace; font-size: .9em }
  a { color: light-dark(#0b57d0, #8ab4f8) }
`

/** The page has a style and nothing else that a browser could run or load. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carillon</title>
<style>${STYLE}</style>
<h1>Carillon</h1>
<p>Carillon stores a message and delivers it at the time you choose: never early, never lost, and normally exactly
once.</p>
<p><a href="docs">API documentation</a> · <a href="openapi.json">OpenAPI document</a></p>
<h2>Schedule a message</h2>
<pre><code>curl -X POST http://HERE/v1/messages \\
  -H 'content-type: application/json' \\
  -d '{"id": "tea", "delay": "5m", "payload": {"text": "tea is ready"}}'</code></pre>
<p>Instead of <code>delay</code>, <code>at</code> takes a time: ISO 8601 with an offset or <code>Z</code>, or epoch
milliseconds. The <code>id</code> is an idempotency key: a request that is sent again stores nothing twice. Without
one, the answer has an id that the service made.</p>
<h2>Get, update, cancel</h2>
<pre><code>curl http://HERE/v1/messages/tea

curl -X PATCH http://HERE/v1/messages/tea \\
  -H 'content-type: application/json' \\
  -d '{"delay": "3m"}'

curl -X DELETE http://HERE/v1/messages/tea</code></pre>
<p>A cancelled message is never delivered. If the service has API keys, add
<code>-H 'authorization: Bearer KEY'</code>.</p>
<h2>Schedule a console line</h2>
<pre><code>curl -X POST http://HERE/echoAtTime \\
  -H 'content-type: application/json' \\
  -d '{"time": "2030-01-01T09:00:00Z", "message": "good morning"}'</code></pre>
<p><code>time</code> is epoch milliseconds or seconds (up to 11 digits are seconds), as a number or a string of
digits, or ISO 8601 with an offset or <code>Z</code>. It must be in the future. When it is due, the message is printed
as one line on the console of the server that delivers it.</p>
<h2>Health check</h2>
<pre><code>curl http://HERE/health</code></pre>
</html>
`

const HOME = route({
  operationId: 'getHome',
  tag: 'service',
  summary: 'Show the home page',
  description: 'A page for browsers that shows how to use the service. Needs no key.',
  response: { 200: text('the page', 'text/html', '<!doctype html>') },
  commonFails: [403, 429, 503],
})

/** The page a person sees who opens the service in a browser. */
export const homeRoutes: FastifyPluginAsync = async (app) => {
  app.get('/', { schema: HOME }, async (request, reply) => {
    reply.header('content-security-policy', CONTENT_SECURITY_POLICY)
    return reply.type('text/html; charset=utf-8').send(PAGE.replaceAll('http://HERE', request.publicUrl))
  })
}
