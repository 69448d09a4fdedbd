import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import type { FastifySchemaCompiler } from 'fastify'

/** One field that is wrong. */
export interface FieldError {
  /** JSON pointer into the request part, "" for all of it */
  readonly path: string
  /** in words, beginning with a verb: "must be ..." */
  readonly message: string
}

const MOST_ERRORS = 20

/** By this a schema may say what a value that does not fit it looks like; no part of the schema that clients see. */
export const LOOKS_LIKE = Symbol('what a value looks like')
type LooksLike = (value: unknown) => string | undefined

/** A request part that does not fit its schema, or that makes no sense although it does. */
export class InvalidRequestError extends Error {
  override readonly name = 'InvalidRequestError'
  readonly statusCode = 400
  readonly errors: readonly FieldError[]

  constructor(errors: readonly FieldError[]) {
    super(
      errors.map(({ path, message }) => `${path.slice(1).replaceAll('/', '.') || 'body'}: ${message}`)[0] ??
        '',
    )
    this.errors = errors.slice(0, MOST_ERRORS)
  }
}

/**
 * Validates without changing anything: nothing is coerced and nothing dropped. Only in queries, which are text, digits
 * are converted to a number if the schema wants one. An error names the field and quotes the schema's description.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = TypeCompiler.Compile(schema)
  return (value: unknown) => {
    const converted = httpPart === 'querystring' ? withNumbers(schema, value) : value
    if (check.Check(converted)) return { value: converted }
    return { error: new InvalidRequestError(explain(check.Errors(converted))) }
  }
}

function withNumbers({ properties }: TSchema, query: unknown): unknown {
  const isNumber = (name: string, text: unknown) =>
    properties?.[name]?.type === 'integer' && typeof text === 'string' && /^\d{1,15}$/.test(text)
  const fields = Object.entries(query as Record<string, unknown>)
  return Object.fromEntries(fields.map(([name, text]) => [name, isNumber(name, text) ? Number(text) : text]))
}

/** One error per field, the most general one. */
export function explain(errors: Iterable<ValueError>): FieldError[] {
  const byPath = new Map<string, string>()
  for (const { path, type, value, schema, message } of errorsOfIntendedVariants(errors)) {
    if (byPath.has(path)) continue
    if (byPath.size === MOST_ERRORS) break
    const like = (schema as { [LOOKS_LIKE]?: LooksLike })[LOOKS_LIKE]?.(value)
    const expected = `must be ${schema.description ?? message}${like === undefined ? '' : `; this looks like ${like}`}`
    if (type === ValueErrorType.ObjectAdditionalProperties) byPath.set(path, 'unknown field')
    else byPath.set(path, value === undefined ? `is missing; it ${expected}` : expected)
  }
  return [...byPath].map(([path, message]) => ({ path, message }))
}

type Explained = Pick<ValueError, 'path' | 'type' | 'value' | 'schema' | 'message'>

/**
 * Puts in place of the error of a union whose variants are told apart by one field (`discriminator`, as OpenAPI has it)
 * those of the variant that was meant.
 */
function* errorsOfIntendedVariants(errors: Iterable<ValueError>): Generator<Explained> {
  for (const error of errors) {
    const { path, type, value, schema } = error
    const name: unknown = schema.discriminator?.propertyName
    if (type !== ValueErrorType.Union || typeof name !== 'string' || !isObject(value)) {
      yield error
      continue
    }
    const known: unknown[] = (schema.anyOf as TSchema[]).map((variant) => variant.properties[name].const)
    const meant = error.errors[known.indexOf(value[name])]
    if (meant !== undefined) yield* errorsOfIntendedVariants(meant)
    else {
      const words = { description: `one of ${known.join(', ')}` } as TSchema // all that is read of it
      yield {
        path: `${path}/${name}`,
        type: ValueErrorType.Literal,
        value: value[name],
        schema: words,
        message: '',
      }
    }
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
