import { fastifySwagger as swagger } from '@fastify/swagger'
import { fastifySwaggerUi as swaggerUi } from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { VERSION } from '../../runtime/version.ts'
import { complete } from '../openapi/document.ts'

const DESCRIPTION = `Hand over a message and a time; at that time it is delivered by whichever server is up.

- **Kept.** A message that was answered with 2xx is in Redis, and no crash of a server loses it.
- **Where to** is up to the message: the console, a webhook, a Redis Stream, or a queue that workers pull from.
- **Never early.** Redis's clock decides what is due, so a server with a wrong clock delivers nothing early.
- **Delivered at least once,** and normally exactly once: only a server or a worker that dies between delivering and
  saying so, or a webhook whose answer got lost, leads to a second delivery.
- **Cancelled is cancelled.** Once cancelling was answered, the message is never delivered, whatever raced it.
- **Retries of a request are safe** with an \`id\` of your own: the same content again is answered with what is there.

Times in are RFC 3339 (ISO 8601 with an offset or Z), or epoch milliseconds; times out are ISO 8601 UTC with milliseconds.
Failures under \`/v1\` are problems (RFC 9457, \`application/problem+json\`); everything else has the original service's
plain form \`{"status":"error","message":"..."}\`. Where keys are set, send one as \`Authorization: Bearer\`: GET needs the
scope \`read\`, what is about a queue \`pull\` or \`pull:<queue>\`, everything else \`write\`; without one or with the wrong one the answer is 401 or 403.`

const TAGS = [
  { name: 'messages', description: 'the life of a message: schedule, look, change, cancel' },
  { name: 'queues', description: 'for workers that pull: claim messages, and say what became of them' },
  { name: 'dead letters', description: 'messages that were given up: schedule them again, or delete them' },
  { name: 'overview', description: 'what there is, and the load ahead' },
  { name: 'service', description: "the original service's routes, and whether the server is well" },
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
 * well is the route's own schema; the rest is in OPERATIONS below.
 */
export const docs = fp(
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
              description: 'a key with this scope, where the service has keys',
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
      indexPrefix: '.', // so that /docs loads what lies beside it, and not what lies at the top of some proxy
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
