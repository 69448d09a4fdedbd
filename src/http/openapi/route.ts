import type { TSchema } from '@sinclair/typebox'
import type { Failing } from './failures.ts'
import type { Json } from './json.ts'

/** What a route answers when all went well. */
export interface Answer<S = unknown> {
  readonly description: string
  /** what the answer is serialized by: a schema, or one for each content type; undefined for text */
  readonly schema: S
  readonly headers?: Json
  /** its content in the document, instead of what the schema says */
  readonly content?: Json
}

/** Everything that a route says of itself: in `/openapi.json`, in `/docs`, and to Fastify. */
export interface RouteFacts {
  /** a verb and a noun; clients are generated from it, so it never changes */
  readonly operationId: string
  readonly tag:
    | 'messages'
    | 'queues'
    | 'dead letters'
    | 'operations'
    | 'pauses'
    | 'overview'
    | 'clock'
    | 'service'
  /** a few words, beginning with a verb */
  readonly summary: string
  readonly description: string
  readonly params?: TSchema
  readonly querystring?: TSchema
  readonly headers?: TSchema
  readonly body?: TSchema | { readonly content: Readonly<Record<string, { readonly schema: TSchema }>> }
  /** whether a request may come without a body */
  readonly bodyOptional?: true
  readonly response: Readonly<Record<number, Answer>>
  /** the failures of this route */
  readonly fails?: readonly Failing[]
  /** the statuses that it shares with other routes; absent for all that a route with or without a body may have */
  readonly commonFails?: readonly number[]
}

type Input = 'params' | 'querystring' | 'headers' | 'body'
type SchemaOf<F extends RouteFacts> = Pick<F, Extract<keyof F, Input>> & {
  readonly response: SchemasOf<F['response']>
}
type SchemasOf<R> = {
  [Status in keyof R as R[Status] extends Answer<undefined> ? never : Status]: R[Status] extends Answer<
    infer S
  >
    ? S
    : never
}

/** Where a schema keeps what only the document needs: `@fastify/swagger` copies a name that begins with x-. */
export const FACTS = 'x-facts'

/** @returns the `schema` of a Fastify route */
export function route<const F extends RouteFacts>(facts: F): SchemaOf<F> {
  const { tag, response, bodyOptional: _, fails: __, commonFails: ___, ...schema } = facts
  const schemas = Object.entries(response).map(([status, { schema }]) => [status, schema] as const)
  const whole = {
    ...schema,
    tags: [tag],
    response: Object.fromEntries(schemas.filter(([, each]) => each !== undefined)),
    [FACTS]: facts,
  }
  return whole as unknown as SchemaOf<F> // the same parts, which TypeScript cannot follow through fromEntries
}

/** @param more `example` takes the place of the schema's own */
export const answer = <const S>(
  description: string,
  schema: S,
  { headers, example }: { readonly headers?: Json; readonly example?: unknown } = {},
): Answer<S> => ({
  description,
  schema,
  ...(headers === undefined ? {} : { headers }),
  ...(example === undefined ? {} : { content: { 'application/json': { schema, example } } }),
})

/** An answer that is text, and so no JSON that a schema could describe. */
export const text = (description: string, type: string, example: string): Answer<undefined> => ({
  description,
  schema: undefined,
  content: { [type]: { schema: { type: 'string', description }, example } },
})
