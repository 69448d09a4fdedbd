import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import { httpApp } from '../../../support/http-app.ts'

export interface Media {
  readonly schema: Schema
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { value: unknown }>>
}
interface Header {
  readonly description?: string
  readonly required?: boolean
  readonly schema: Schema
}
type Ref = { readonly $ref: string }
interface Response {
  readonly description?: string
  readonly headers?: Readonly<Record<string, Header | Ref>>
  readonly content?: Readonly<Record<string, Media>>
}
export interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly security?: readonly { readonly key?: readonly string[] }[]
  readonly parameters?: readonly (Media & { name: string; in: string; description?: string })[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, Response | Ref>>
}
export interface Schema {
  readonly $ref?: string
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  additionalProperties?: boolean
}
interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** Answers that no request can provoke from outside, with the reason. */
export const NOT_PROVOKED: Readonly<Record<string, string>> = {
  'GET / 503': 'only an overloaded server answers this; see limits.test.ts',
  'GET /v1/me 503': 'the same',
  'GET /v1/events 503': 'a stream waits for Redis; that there are too many is told by streams.test.ts',
  'POST /v1/messages/batch 500': 'what fails for one message is the result of that message',
}

const app = await httpApp({})
export const document = (await app.inject('/openapi.json')).json<OpenApi>()
/** Every route that is registered, those about the document among them. */
export const routes = routesOf(app)
await app.close()

export const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(
    ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as [string, Operation],
  ),
)

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
formats.default(ajv)
const closed = structuredClone(document)
// An answer may have nothing that the document does not name.
for (const schema of Object.values(closed.components.schemas)) close(schema)
ajv.addSchema(closed, 'document', undefined, false)

/** The answers that were compared with the document: `<method> <path> <status>`. */
export const seen = new Set<string>()

function close(schema: Schema): void {
  if (schema.properties === undefined) return
  schema.additionalProperties ??= false
  for (const property of Object.values(schema.properties)) close(property)
}

/** @returns every registered route as `<method> <path>`, from the router's own listing */
function routesOf(app: FastifyInstance): string[] {
  const prefixes: string[] = []
  return app
    .printRoutes()
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', label = '', methods = ''] =
        /^([│ ]*)[├└]── (.*?)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? []
      const depth = indent.length / 4
      const path = (prefixes[depth - 1] ?? '') + label
      prefixes[depth] = path
      return methods
        .split(', ')
        .filter((method) => method !== '' && method !== 'HEAD')
        .map((method) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
    })
}

/** A part of the document, where it may be a reference to another part. */
export const resolve = <T extends object>(value: T | Ref): T =>
  '$ref' in value && typeof value.$ref === 'string'
    ? (value.$ref
        .slice(2)
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document) as T)
    : (value as T)
const escaped = (part: string) => part.replaceAll('~', '~0').replaceAll('/', '~1')
/** The address of a part of the document, for `expectValid`. */
export const pointer = (...parts: string[]) =>
  `document#/${parts.map((part) => encodeURIComponent(escaped(part))).join('/')}`

/** Expects a value to match the schema at an address. */
export function expectValid($ref: string, value: unknown, what: string): void {
  const valid = ajv.validate({ $ref }, value)
  expect(valid ? [] : ajv.errors, `${what}: ${JSON.stringify(value)}`).toEqual([])
}

/** Compares an answer with the document, and notes that it was seen. */
export function expectAsDocumented(name: string, status: number, answer: LightMyRequestResponse): void {
  const what = `${name} ${status}`
  expect(answer.statusCode, `${what}: ${answer.body}`).toBe(status)
  const [method = '', path = ''] = name.toLowerCase().split(' ')
  const realPath = Object.keys(document.paths).find((each) => each.toLowerCase() === path) ?? ''
  const given = document.paths[realPath]?.[method]?.responses[status]
  if (given === undefined) throw new Error(`${what} is not in the document`)
  const base =
    '$ref' in given
      ? given.$ref.slice(2).split('/')
      : ['paths', realPath, method, 'responses', String(status)]
  const { content, headers = {} } = resolve(given)

  for (const name of ['ETag', 'Location', 'Retry-After', 'Accept-Encoding', 'WWW-Authenticate']) {
    const value = answer.headers[name.toLowerCase()]
    const header = headers[name]
    if (header === undefined) {
      expect(value, `${what} has ${name}, which is not documented`).toBeUndefined()
      continue
    }
    const { required, schema } = resolve(header)
    if (required === true) expect(value, `${what} has no ${name}`).toBeDefined()
    if (value !== undefined)
      expect(ajv.validate(schema, String(value)), `${what}: ${name}: ${value}`).toBe(true)
  }

  if (content === undefined) expect(answer.body, what).toBe('')
  else {
    const type = String(answer.headers['content-type']).split(';')[0] ?? ''
    expect(Object.keys(content), what).toContain(type)
    const body: unknown = type.endsWith('json') && !type.endsWith('ndjson') ? answer.json() : answer.body
    expectValid(pointer(...base, 'content', type, 'schema'), body, what)
  }
  seen.add(what)
}

/** The statuses that an operation documents. */
export const statusesOf = (operation: Operation) => Object.keys(operation.responses).map(Number)
/** The operations that document a status. */
export const withStatus = (status: number) =>
  operations.filter(([, operation]) => statusesOf(operation).includes(status))
