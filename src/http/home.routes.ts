import type { FastifyPluginAsync } from 'fastify'

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carillon</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
  pre { padding: 1rem; overflow-x: auto; border: 1px solid #8884; border-radius: .5rem; background: #8881 }
  code { font-family: ui-monospace, monospace; font-size: .9em }
</style>
<h1>Carillon</h1>
<p>Hand over a message and a time. At that time the message is delivered, once, by whichever server is up:
never early, never lost.</p>
<h2>Schedule a message</h2>
<pre><code>curl -X POST http://HERE/echoAtTime \\
  -H 'content-type: application/json' \\
  -d '{"time": "2030-01-01T09:00:00Z", "message": "good morning"}'</code></pre>
<p><code>time</code> is epoch milliseconds or seconds (up to 11 digits are seconds), as a number or a string of
digits, or ISO 8601 with an offset or <code>Z</code>. It has to be in the future. The answer carries the message's
id; at its time the message appears as one line on the console of the server that delivers it.</p>
<h2>Is it well?</h2>
<pre><code>curl http://HERE/health</code></pre>
</html>
`

/** The page a person sees who opens the service in a browser. */
export const homeRoutes: FastifyPluginAsync = async (app) => {
  app.get('/', async (request, reply) => {
    // The Host header is the caller's word: only what can be part of an address goes into the page.
    const here = /^[\w.:[\]-]+$/.test(request.host) ? request.host : 'localhost:3000'
    return reply.type('text/html; charset=utf-8').send(PAGE.replaceAll('HERE', here))
  })
}
