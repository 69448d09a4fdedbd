import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { FastifySchemaCompiler } from 'fastify'

/**
 * Validates request parts without changing them: nothing is coerced and nothing dropped. The error names
 * the field and says, in the words of the schema's description, what belongs there.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema }) => {
  const check = TypeCompiler.Compile(schema)
  return (value: unknown) => {
    if (check.Check(value)) return { value }
    const first = check.Errors(value).First()
    const field = first?.path.slice(1).replaceAll('/', '.') || 'body'
    const missing = first?.value === undefined ? 'is missing; it ' : ''
    return { error: new Error(`${field}: ${missing}must be ${first?.schema.description ?? first?.message}`) }
  }
}
