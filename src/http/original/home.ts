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
<p>Hand over a message and a time. At that time the message is delivered, once, by whichever server is up:
never early, never lost.</p>
<p><a href="docs">Every route, to read and to try</a> · <a href="openapi.json">the same as OpenAPI</a></p>
<h2>Schedule a message</h2>
<pre><code>curl -X POST http://HERE/v1/messages \\
  -H 'content-type: application/json' \\
  -d '{"id": "tea", "delay": "5m", "payload": {"text": "tea is ready"}}'</code></pre>
<p>Or with <code>at</code>, which is ISO 8601 with an offset or <code>Z</code>, or epoch milliseconds. The
<code>id</code> is yours to choose and makes it safe to send the same again; without one the answer brings one.</p>
<h2>Look, change, cancel</h2>
<pre><code>curl http://HERE/v1/messages/tea

curl -X PATCH http://HERE/v1/messages/tea \\
  -H 'content-type: application/json' \\
  -d '{"delay": "3m"}'

curl -X DELETE http://HERE/v1/messages/tea</code></pre>
<p>Once cancelling was answered, the message is never delivered, whatever raced it. Where the service has keys, add
<code>-H 'authorization: Bearer KEY'</code>.</p>
<h2>A line on the console</h2>
<pre><code>curl -X POST http://HERE/echoAtTime \\
  -H 'content-type: application/json' \\
  -d '{"time": "2030-01-01T09:00:00Z", "message": "good morning"}'</code></pre>
<p><code>time</code> is epoch milliseconds or seconds (up to 11 digits are seconds), as a number or a string of
digits, or ISO 8601 with an offset or <code>Z</code>. It has to be in the future. At its time the message appears as
one line on the console of the server that delivers it.</p>
<h2>Is it well?</h2>
<pre><code>curl http://HERE/health</code></pre>
</html>
`

const HOME = route({
  operationId: 'getHome',
  tag: 'service',
  summary: 'Home page',
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
