import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import type { FastifySchemaCompiler } from 'fastify'

/** One field that is wrong. */
export interface FieldError {
  /** JSON pointer into the request part, "" for all of it */
  readonly path: string
  /** in words, beginning with a verb: "must be ..." */
  readonly message: string
}

const MOST_ERRORS = 20

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
    this.errors = errors
  }
}

/**
 * Validates bodies without changing them: nothing is coerced and nothing dropped. Queries and headers, which are text,
 * are converted first. An error names the field and says, in the words of the schema's description, what belongs there.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = TypeCompiler.Compile(schema)
  return (value: unknown) => {
    const converted = httpPart === 'body' ? value : Value.Convert(schema, value)
    if (check.Check(converted)) return { value: converted }
    return { error: new InvalidRequestError(explain(check.Errors(converted))) }
  }
}

/** One error per field, the most general one. */
export function explain(errors: Iterable<ValueError>): FieldError[] {
  const byPath = new Map<string, string>()
  for (const { path, type, value, schema, message } of errors) {
    if (byPath.has(path)) continue
    if (byPath.size === MOST_ERRORS) break
    const expected = `must be ${schema.description ?? message}`
    if (type === ValueErrorType.ObjectAdditionalProperties)
      byPath.set(path, 'is not a field that is known here')
    else byPath.set(path, value === undefined ? `is missing; it ${expected}` : expected)
  }
  return [...byPath].map(([path, message]) => ({ path, message }))
}
