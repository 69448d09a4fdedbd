import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { DESTINATIONS } from '../../../../src/destinations/registry.ts'
import { httpApp } from '../../../support/http-app.ts'
import {
  document,
  expectValid,
  type Media,
  operations,
  pointer,
  resolve,
  routes,
  type Schema,
} from './documented.ts'

/** Routes that are about the document, and so are not in it. */
const NOT_OF_THE_API = /^\/(openapi\.json|docs(\/.*)?)$/

describe('the document', () => {
  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document) as never)
    expect(errors ?? []).toEqual([])
    expect(valid).toBe(true)
  })

  it('has only schemas that a strict JSON Schema 2020-12 compiler takes', () => {
    const strict = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true })
    formats.default(strict)
    strict.addVocabulary(['example', 'discriminator'])
    const text = JSON.stringify(document.components.schemas).replaceAll('#/components/schemas/', '')
    const schemas = JSON.parse(text) as Record<string, object>
    for (const [name, schema] of Object.entries(schemas)) strict.addSchema(schema, name)
    for (const name of Object.keys(schemas)) expect(() => strict.getSchema(name), name).not.toThrow()
  })

  it('names every route, and none that is not there', () => {
    expect(operations.map(([name]) => name).sort()).toEqual(
      routes.filter((route) => !NOT_OF_THE_API.test(route.split(' ')[1] ?? '')).sort(),
    )
  })

  it('says of every operation what it does, and gives it a name and examples', () => {
    const ids = operations.map(([, { operationId }]) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const [
      name,
      { operationId, summary, description, tags, parameters = [], requestBody, responses },
    ] of operations) {
      expect([operationId, summary, description, tags?.[0]], name).not.toContain(undefined)
      for (const parameter of parameters) {
        expect(parameter.description, `${name} ${parameter.name}`).toBeTruthy()
        expect(hasExample(parameter), `${name} ${parameter.name}`).toBe(true)
      }
      for (const media of Object.values(requestBody?.content ?? {}))
        expect(hasExample(media), name).toBe(true)
      for (const [status, given] of Object.entries(responses)) {
        const { description, content = {} } = resolve(given)
        expect(description, `${name} ${status}`).toBeTruthy()
        for (const media of Object.values(content)) expect(hasExample(media), `${name} ${status}`).toBe(true)
      }
    }
  })

  it('describes every schema and every property, with examples', () => {
    const lacking = Object.entries(document.components.schemas).flatMap(([name, schema]) =>
      lacks(name, schema),
    )
    expect(lacking).toEqual([])
  })

  it('tells the destinations apart by their type', () => {
    const places = DESTINATIONS.map(({ type, schema }) => [type, `#/components/schemas/${schema.title}`])
    expect(document.components.schemas.Destination).toMatchObject({
      oneOf: places.map(([, $ref]) => ({ $ref })),
      discriminator: { propertyName: 'type', mapping: Object.fromEntries(places) },
    })
    expect(document.components.schemas.Destination).not.toHaveProperty('anyOf')
  })

  it('says of every operation which scope a key needs for it', () => {
    const scopes = operations.map(([name, { security = [] }]) => {
      const [open, ...more] = security
      expect(open, name).toEqual({}) // for a service without keys
      return [name, ...more.flatMap(({ key }) => key)].join(' ')
    })
    expect(scopes).toContain('GET /health')
    expect(scopes).toContain('GET /v1/stats read browse')
    expect(scopes).toContain('POST /v1/messages write')
    expect(scopes).toContain('DELETE /v1/dead write')
    for (const each of scopes) expect(each.endsWith(' pull'), each).toBe(each.includes('/v1/queues/'))
  })

  it('says what may come without a body, and what else must not', () => {
    const optional = operations.filter(([, { requestBody }]) => requestBody?.required === false)
    expect(optional.map(([name]) => name)).toEqual([
      ...['POST /v1/messages/{id}/deliver', 'POST /v1/messages/{id}/copy'],
      'POST /v1/queues/{queue}/claim',
      ...['DELETE /v1/pauses', 'DELETE /v1/pauses/{target}'],
    ])
  })

  it('has only examples that fit', () => {
    const walk = (value: unknown, at: string[]): void => {
      if (typeof value !== 'object' || value === null) return
      const { schema, example, examples } = value as Media
      if (schema !== undefined && example !== undefined)
        expectValid(pointer(...at, 'schema'), example, at.join(' '))
      else if (schema !== undefined && examples !== undefined)
        for (const { value } of Object.values(examples))
          expectValid(pointer(...at, 'schema'), value, at.join(' '))
      else if (Array.isArray(examples))
        for (const each of examples) expectValid(pointer(...at), each, at.join(' '))
      for (const [key, each] of Object.entries(value))
        if (key !== 'example' && key !== 'examples') walk(each, [...at, key])
    }
    walk(document, [])
  })
})

const hasExample = ({ example, examples = {}, schema }: Media) =>
  example !== undefined ||
  Object.keys(examples).length > 0 ||
  (resolve<Schema>(schema).examples ?? []).length > 0

function lacks(name: string, schema: Schema): string[] {
  if (schema.$ref !== undefined) return []
  const { description, examples, properties = {}, items } = schema
  const whole = name.includes('.')
  return [
    ...(description === undefined ? [`${name}: description`] : []),
    // A whole schema shows its example where it is used.
    ...(whole && examples === undefined ? [`${name}: examples`] : []),
    ...Object.entries(properties).flatMap(([key, property]) => lacks(`${name}.${key}`, property)),
    ...(items === undefined ? [] : lacks(`${name}.[]`, items)),
  ]
}

describe('/docs', () => {
  it('loads everything from this server, and may load nothing from elsewhere', async () => {
    const app = await httpApp({})
    const page = await app.inject('/docs')
    expect(page.headers['content-security-policy']).toMatch(/^default-src 'none'/)
    const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '')
    expect(parts.length).toBeGreaterThan(3)
    for (const part of parts) expect((await app.inject(part)).statusCode, part).toBe(200)
    await app.close()
  })
})
