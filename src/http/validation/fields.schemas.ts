import { type TSchema, Type } from '@sinclair/typebox'
import { CLIENT_ID, CLIENT_ID_WORDS } from '../../domain/names.ts'
import { AT_FORMS, DELAY_FORMS } from './time.ts'
import { durationLike, timeLike } from './time-hints.ts'
import { LOOKS_LIKE } from './validation.ts'

export const EXAMPLE_TIME = '2030-01-01T09:00:00.000Z'

export const literals = <T extends string>(words: readonly T[], description: string, example: T) =>
  Type.Unsafe<T>({
    type: 'string',
    enum: [...words],
    description: `${description}: ${words.join(', ')}`,
    examples: [example],
  })

/** TypeBox checks what Type.Unsafe only describes for the document. */
export const words = <T extends string>(all: readonly [T, ...T[]], description: string) =>
  Type.Union(
    all.map((word) => Type.Literal(word)),
    { description: `one of ${all.join(', ')}: ${description}`, examples: [all[0]] },
  )

export const nullable = <T extends TSchema>(schema: T, description: string, examples: readonly unknown[]) =>
  Type.Union([schema, Type.Null()], {
    ...looksLike((schema as { [LOOKS_LIKE]?: unknown })[LOOKS_LIKE]),
    description,
    examples,
  })

const looksLike = (tell: unknown): object => ({ [LOOKS_LIKE]: tell })

/** A time on its way in. Like all of a request, it is described in words that can follow "must be". */
export const TimeIn = (more: string) =>
  Type.Union([Type.String(), Type.Integer()], {
    ...looksLike(timeLike),
    description: `${AT_FORMS}${more}`,
    examples: [EXAMPLE_TIME, 1893488400000],
  })
export const At = TimeIn('; a time that has passed means now')
export const NotAfter = TimeIn('; after it the message is too late, see onLate')

/** A time on its way out. */
export const TimeOut = (description: string) =>
  Type.String({
    format: 'date-time',
    description: `${description}; ISO 8601 UTC with milliseconds`,
    examples: [EXAMPLE_TIME],
  })

/** A time in a query string. */
export const TimeQuery = (more: string) =>
  Type.String({
    description: `RFC 3339 (ISO 8601 with an offset or Z), or epoch milliseconds; ${more}`,
    examples: [EXAMPLE_TIME],
  })

export const DelayIn = (more: string) =>
  Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^\\d{1,15}[smhd]$' })], {
    ...looksLike(durationLike),
    description: `${DELAY_FORMS}; ${more}`,
    examples: ['90s', 5000],
  })
export const Delay = DelayIn('it counts from the moment at which Redis stores the message')

export const Id = Type.String({
  pattern: CLIENT_ID,
  description: CLIENT_ID_WORDS,
  examples: ['invoice-4711-reminder'],
})

/** Of any message, server-made ones included. */
export const MessageId = Type.String({
  minLength: 1,
  maxLength: 128,
  description: "a message's id",
  examples: ['invoice-4711-reminder'],
})
export const Ids = Type.Array(MessageId, {
  maxItems: 10_000,
  description: 'up to 10,000 ids',
  examples: [['invoice-4711-reminder']],
})

export const Payload = Type.Unknown({ description: 'any JSON value', examples: [{ text: 'good morning' }] })

/** Counts whole characters with and without the u flag, and refuses half a surrogate pair. */
export const TAG = {
  pattern: '^(?:[\\uD800-\\uDBFF][\\uDC00-\\uDFFF]|[^\\uD800-\\uDFFF]){1,64}$',
}

export const Tag = Type.String({
  ...TAG,
  description: 'a tag of 1 to 64 characters',
  examples: ['invoices'],
})
export const Tags = Type.Array(Tag, {
  maxItems: 10,
  description: 'up to 10 strings of 1 to 64 characters',
  examples: [['invoices']],
})

export const STATUSES = ['scheduled', 'claimed', 'delivered', 'dropped', 'dead', 'cancelled'] as const
