import { fastifySwagger as swagger } from '@fastify/swagger'
import { fastifySwaggerUi as swaggerUi } from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { VERSION } from '../../runtime/version.ts'
import { scopeFor } from './auth.ts'
import { COMMON_RESPONSES, HEADERS, type Json, OPERATIONS, type Operation } from './operations.ts'

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

/** Adds to what was gathered from the routes all that their schemas cannot say. */
function complete(gathered: object): Json {
  // A copy: the schemas in it belong to the routes.
  const document = JSON.parse(JSON.stringify(gathered)) as Json & {
    components: { schemas: Json }
    paths: Record<string, Record<string, Json>>
  }
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const more = OPERATIONS[`${method.toUpperCase()} ${path}`]
      if (more === undefined) continue
      const security = [{}, { key: [scopeFor(method.toUpperCase(), path)] }]
      operations[method] = describe({ security, ...operation }, more)
    }
  }
  Object.assign(document.components, { headers: HEADERS, responses: COMMON_RESPONSES })
  const schemas: Json = {}
  const tidied = tidy(document, schemas) as Json & { components: Json }
  tidied.components.schemas = schemas
  return tidied
}

function describe(operation: Json, { ok, failures, bodyOptional, ...more }: Operation): Json {
  const { responses, parameters, requestBody } = operation as {
    responses: Record<string, Json>
    parameters?: Json[]
    requestBody?: Json
  }
  const succeeded = Object.entries(ok).map(([status, { content, ...response }]) => {
    const gathered = responses[status]?.content as Json | undefined
    return [
      status,
      gathered || content ? { ...response, content: { ...gathered, ...content } } : response,
    ] as const
  })
  return {
    ...operation,
    ...more,
    ...(bodyOptional === true ? { requestBody: { ...requestBody, required: false } } : {}),
    ...(parameters === undefined ? {} : { parameters: parameters.map(inItsUsualSpelling) }),
    responses: { ...Object.fromEntries(succeeded), ...failures },
  }
}

/** Node has all headers in small letters. */
const inItsUsualSpelling = (parameter: Json): Json =>
  parameter.in === 'header'
    ? { ...parameter, name: String(parameter.name).replace(/\b[a-z]/g, (letter) => letter.toUpperCase()) }
    : parameter

/**
 * Gives schemas with a title a place in the components, and writes choices among words, and among objects told apart by
 * a field, as tools like them best.
 */
function tidy(value: unknown, schemas: Json): unknown {
  if (Array.isArray(value)) return value.map((item) => tidy(item, schemas))
  if (typeof value !== 'object' || value === null) return value
  const { anyOf, ...rest } = value as Json
  const words = Array.isArray(anyOf) ? wordsOf(anyOf) : undefined
  const source = words === undefined ? (value as Json) : { type: 'string', enum: words, ...rest }
  const tidied = Object.fromEntries(
    Object.entries(source).map(([key, item]) => [
      key,
      // What clients send is no schema, whatever it looks like.
      key === 'example' || key === 'examples' ? item : tidy(item, schemas),
    ]),
  )
  if (tidied.discriminator !== undefined) tellApart(tidied, anyOf as Json[])
  if (typeof tidied.title !== 'string' || (tidied.type !== 'object' && tidied.oneOf === undefined))
    return tidied
  // One that was a whole body had its example taken by the media type around it.
  schemas[tidied.title] = { ...(schemas[tidied.title] as Json | undefined), ...tidied }
  return { $ref: `#/components/schemas/${tidied.title}` }
}

/** @param tidied a union, whose variants have their places by now @param variants what they were before */
function tellApart(tidied: Json, variants: readonly Json[]): void {
  const { propertyName } = tidied.discriminator as { propertyName: string }
  const places = tidied.anyOf as { $ref: string }[]
  const wordOf = ({ properties }: Json) => (properties as Record<string, Json>)[propertyName]?.const
  tidied.oneOf = places
  tidied.discriminator = {
    propertyName,
    mapping: Object.fromEntries(variants.map((variant, i) => [wordOf(variant), places[i]?.$ref])),
  }
  delete tidied.anyOf
}

function wordsOf(choices: unknown[]): string[] | undefined {
  const words = choices.map((choice) => (choice as Json).const)
  return words.every((word) => typeof word === 'string') ? words : undefined
}
