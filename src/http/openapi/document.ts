import { isApiPath } from '../errors/error-reply.ts'
import { scopesFor } from '../plugins/auth.ts'
import { isOpen } from '../plugins/public-paths.ts'
import { COMMON_RESPONSES, failureResponses, WITH_BODY, WITHOUT_BODY } from './failures.ts'
import { HEADERS } from './headers.ts'
import type { Json } from './json.ts'
import { FACTS, type RouteFacts } from './route.ts'
import { tidy } from './tidy.ts'

/**
 * Adds to the document that was gathered from the routes' schemas what only the routes' facts say.
 *
 * @param gathered what `@fastify/swagger` made of the schemas
 * @returns the whole document; `gathered` stays as it is
 */
export function complete(gathered: object): Json {
  // A copy: the schemas in it belong to the routes.
  const document = JSON.parse(JSON.stringify(gathered)) as Json & {
    components: { schemas: Json }
    paths: Record<string, Record<string, Json>>
  }
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { [FACTS]: facts, ...operation }] of Object.entries(operations)) {
      if (facts === undefined) throw new Error(`${method} ${path}: its schema is not made by route()`)
      operations[method] = describe(method.toUpperCase(), path, operation, facts as RouteFacts)
    }
  }
  Object.assign(document.components, { headers: HEADERS, responses: COMMON_RESPONSES })
  const schemas: Json = {}
  const tidied = tidy(document, schemas) as Json & { components: Json }
  tidied.components.schemas = schemas
  return tidied
}

function describe(method: string, path: string, operation: Json, facts: RouteFacts): Json {
  const { body, bodyOptional, response, fails = [] } = facts
  const { commonFails = body === undefined ? WITHOUT_BODY : WITH_BODY } = facts
  const { responses, parameters, requestBody } = operation as {
    responses: Record<string, Json>
    parameters?: Json[]
    requestBody?: Json
  }
  const succeeded = Object.entries(response).map(([status, { schema: _, ...answer }]) => {
    const gathered = responses[status]?.content
    return [status, gathered === undefined ? answer : { content: gathered, ...answer }] as const
  })
  return {
    ...operation,
    security: isOpen(method, path) ? [{}] : [{}, ...keysFor(method, path)],
    ...(bodyOptional === true ? { requestBody: { ...requestBody, required: false } } : {}),
    ...(parameters === undefined ? {} : { parameters: parameters.map(inItsUsualSpelling) }),
    responses: {
      ...Object.fromEntries(succeeded),
      ...failureResponses(isApiPath(path) ? 'Problem' : 'Plain', fails, commonFails),
    },
  }
}

/** One for each scope that is enough, and one without where any key will do. */
function keysFor(method: string, path: string): { key: string[] }[] {
  const scopes = scopesFor(method, path)
  return scopes.length === 0 ? [{ key: [] }] : scopes.map((scope) => ({ key: [scope] }))
}

/** Node has all headers in small letters. */
const inItsUsualSpelling = (parameter: Json): Json =>
  parameter.in === 'header'
    ? { ...parameter, name: String(parameter.name).replace(/\b[a-z]/g, (letter) => letter.toUpperCase()) }
    : parameter
