import { type Static, Type } from '@sinclair/typebox'
import { LANE_FORMS, readLane } from '../../../destinations/lanes.ts'
import { type Filter, problemOf } from '../../../messages/filter.ts'
import { At, Ids, STATUSES, TAG, TimeQuery, words } from '../../validation/fields.schemas.ts'
import { parseAt } from '../../validation/time.ts'
import { type FieldError, InvalidRequestError } from '../../validation/validation.ts'

const Status = words(STATUSES, 'the status (default scheduled, or dead with a reason)')
const FilterTag = Type.String({
  ...TAG,
  description: 'a tag of 1 to 64 characters, which requires the status scheduled, claimed or dead',
  examples: ['invoices'],
})
const FROM = 'from this time on: due time, lock end of claimed messages, or end of finished and dead messages'
const TO = 'before this time, compared like from'

const PLAIN_FIELDS = {
  status: Type.Optional(Status),
  tag: Type.Optional(FilterTag),
  destination: Type.Optional(
    Type.String({ maxLength: 2_048, description: LANE_FORMS, examples: ['webhook:https://api.shop'] }),
  ),
  reason: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4_096,
      description: 'the exact reason of dead letters, which implies the status dead',
      examples: ['status 503'],
    }),
  ),
  idPrefix: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9._:~-]{1,128}$',
      description: '1 to 128 characters that the id begins with',
      examples: ['invoice-'],
    }),
  ),
}

/** The fields of a filter as parameters of a query. */
export const FILTER_QUERY = {
  ...PLAIN_FIELDS,
  from: Type.Optional(TimeQuery(FROM)),
  to: Type.Optional(TimeQuery(TO)),
  late: Type.Optional(
    Type.Literal('true', {
      description: 'true: only overdue messages, which requires the status scheduled',
      examples: ['true'],
    }),
  ),
}

/** The same in a body. */
export const FilterBody = Type.Object(
  {
    ...PLAIN_FIELDS,
    ids: Type.Optional(Ids),
    from: Type.Optional(At),
    to: Type.Optional(At),
    late: Type.Optional(Type.Literal(true, { description: 'true: only overdue messages', examples: [true] })),
  },
  {
    title: 'Filter',
    additionalProperties: false,
    minProperties: 1,
    description:
      'a JSON object with one or more of status, tag, destination, reason, idPrefix, ids, from, to and late',
    examples: [{ destination: 'webhook:https://api.shop', late: true }],
  },
)
export type FilterBody = Static<typeof FilterBody>

/** A filter as a client gives it, in a query or in a body. */
export type FilterFields = Omit<FilterBody, 'late'> & { late?: 'true' | true }

/**
 * What a client asks for, in the domain's words.
 *
 * @param pointer of the filter in the body; "" for a query
 * @throws InvalidRequestError naming every field that makes no sense, alone or with the others
 */
export function toFilter(fields: FilterFields, pointer = ''): Filter {
  const { from, to, destination, late, ...plain } = fields
  const errors: FieldError[] = []
  const inQuery = pointer === ''
  const time = (name: string, value: string | number | undefined) => {
    const ms = value === undefined ? undefined : parseAt(value, { inQuery })
    if (typeof ms === 'string') errors.push({ path: `${pointer}/${name}`, message: ms })
    return typeof ms === 'number' ? { [name]: ms } : {}
  }
  const lane = destination === undefined ? undefined : readLane(destination)
  if (destination !== undefined && lane === undefined)
    errors.push({ path: `${pointer}/destination`, message: `must be ${LANE_FORMS}` })
  const filter: Filter = {
    ...plain,
    ...time('from', from),
    ...time('to', to),
    ...(lane === undefined ? {} : { destination: lane }),
    ...(late === undefined ? {} : { late: true }),
  }
  const problem = problemOf(filter)
  if (problem !== undefined) errors.push({ path: `${pointer}/${problem.field}`, message: problem.message })
  if (errors.length > 0) throw new InvalidRequestError(errors)
  return filter
}
