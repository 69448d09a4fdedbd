import { PROBLEM_CODES } from '../errors/problem-code.ts'
import { literals } from '../validation/fields.schemas.ts'

/** Of a problem, and of a message of a batch that was refused. */
export const Code = literals(PROBLEM_CODES, 'the kind of error', 'invalid')
