import { fastifySwagger as swagger } from '@fastify/swagger'
import { fastifySwaggerUi as swaggerUi } from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { VERSION } from '../../runtime/version.ts'
import { complete } from '../openapi/document.ts'

const DESCRIPTION = `Hand over a message and a time; at that time it is delivered by whichever server is up.

- **Durable.** After 2xx the message is stored in Redis, and no crash of a server loses it.
- **Four destinations:** the console, a webhook, a Redis Stream, or a queue that workers pull from.
- **Never early.** Redis's clock decides what is due. A server with a wrong clock delivers nothing early.
- **At least once,** and normally exactly once. A second delivery follows only if a server or a worker dies between
  delivery and acknowledgement, or if the response of a webhook is lost.
- **Cancellation is final.** After a cancel was answered with 2xx, the message is never delivered.
- **Idempotent.** With an \`id\` of your own a request is safe to repeat: the same content answers the stored message.

Times in requests are RFC 3339 (ISO 8601 with an offset or Z), or epoch milliseconds. Times in answers are ISO 8601 UTC
with milliseconds. Errors under \`/v1\` are problems (RFC 9457, \`application/problem+json\`), whose \`code\` is for
programs. Other paths answer \`{"status":"error","message":"..."}\`. If API keys are configured, send one as
\`Authorization: Bearer\`. GET needs the scope \`read\`, or \`browse\`, which shows no payloads, headers and bodies.
Queues need \`pull\` or \`pull:<queue>\`, everything else needs \`write\`. A missing or unknown key answers 401, a
missing scope 403.`

const TAGS = [
  { name: 'messages', description: 'schedule, get, list, update and cancel messages' },
  { name: 'queues', description: 'for pull workers: claim, acknowledge, release and extend messages' },
  { name: 'dead letters', description: 'redrive or delete messages that are not tried again' },
  { name: 'pauses', description: 'hold deliveries back, and resume them' },
  { name: 'operations', description: 'act on every message that matches, and see who did what' },
  { name: 'overview', description: 'statistics and the upcoming load' },
  { name: 'clock', description: 'the test clock, with TEST_CLOCK' },
  { name: 'service', description: 'the routes of the original service, health checks and metrics' },
]

/** All from this server; styles in attributes are what the viewer works with. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * `GET /openapi.json`, the OpenAPI 3.1 document of every route that is registered after this, and `/docs`, where a
 * person can read it and try things out. What the document says of a route's input and of its answers when all went
 * well is the route's own schema, made by `route()`.
 */
export const openapi = fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Carillon',
          version: VERSION,
          description: DESCRIPTION,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: serversAt('./'),
        tags: TAGS,
        components: {
          securitySchemes: {
            key: {
              type: 'http',
              scheme: 'bearer',
              description: 'an API key with this scope, if API keys are configured',
            },
          },
        },
      },
      stripBasePath: false,
      convertConstToEnum: false,
      transformObject: (document) => ('openapiObject' in document ? complete(document.openapiObject) : {}),
    })

    let text: string | undefined
    app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
      text ??= JSON.stringify(app.swagger())
      return reply.type('application/json; charset=utf-8').send(text)
    })

    await app.register(swaggerUi, {
      routePrefix: '/docs',
      indexPrefix: '.', // so that /docs loads files next to it, and not from the root of a proxy
      transformSpecification: (document) => ({ ...document, servers: serversAt('../') }),
      transformSpecificationClone: false,
      staticCSP: CONTENT_SECURITY_POLICY,
      theme: {
        title: 'Carillon',
        css: [{ filename: 'carillon.css', content: STYLE }],
        js: [{ filename: 'carillon.js', content: FOLLOW_COLOR_SCHEME }],
      },
      // Without the bar on top, which is there to open other documents.
      uiConfig: {
        layout: 'BaseLayout',
        docExpansion: 'list',
        deepLinking: true,
        displayRequestDuration: true,
      },
    })
  },
  { name: 'docs', dependencies: ['error-mapper'] },
)

/** @param url relative to where the document is, as a proxy may have put all of this below some path */
const serversAt = (url: string) => [{ url, description: 'this server' }]

const STYLE = `
.swagger-ui .info { margin: 2rem 0 1rem }
html.dark-mode body { background: #1c2022 }
.swagger-ui .scheme-container { padding: 1rem 0; box-shadow: none; border-bottom: 1px solid #8884 }
`

/** The viewer has dark colours, but the switch for them is on the bar that is not shown. */
const FOLLOW_COLOR_SCHEME = `
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()
`
