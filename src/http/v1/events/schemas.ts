import { Type } from '@sinclair/typebox'
import { EVENT_TYPES } from '../../../events/sink.ts'
import { EXAMPLE_TIME, Tag, words } from '../../validation/fields.schemas.ts'

/** Types, in words that can follow "must be". */
export const TYPES_FORM = `one or more of ${EVENT_TYPES.join(', ')}, comma-separated (default all)`
export const DESTINATION_FORM =
  'console, stream, pull:<queue>, or webhook: and the URL of a host, as "webhook:https://shop.example.com"'
export const SINCE_FORM = 'the id of an event, RFC 3339 (ISO 8601 with an offset or Z), or epoch milliseconds'

export const EventsQuery = Type.Object(
  {
    types: Type.Optional(Type.String({ description: TYPES_FORM, examples: ['delivered,dead'] })),
    tag: Type.Optional(Tag),
    destination: Type.Optional(
      Type.String({ minLength: 1, description: DESTINATION_FORM, examples: ['pull:mails'] }),
    ),
    payload: Type.Optional(
      words(['false', 'true'], 'whether events have the payload of their message, up to 4 KiB'),
    ),
    detail: Type.Optional(
      words(['many', 'all'], 'whether more than 200 events of a type within 100 ms are told as one `many`'),
    ),
    since: Type.Optional(
      Type.String({ description: `${SINCE_FORM}; from there on`, examples: [EXAMPLE_TIME] }),
    ),
  },
  { additionalProperties: false, description: 'types, tag, destination, payload, detail and since' },
)

export const EventsHeaders = Type.Object(
  {
    'last-event-id': Type.Optional(
      Type.String({
        description: 'the id of the last event that was received; has priority over since',
        examples: ['1893488400000-0-3-42'],
      }),
    ),
  },
  { description: 'Last-Event-ID' },
)

const EXAMPLE_DATA = {
  ...{ id: 'invoice-4711-reminder', at: EXAMPLE_TIME, destination: 'webhook:https://shop.example.com' },
  ...{ tags: ['invoices'], lateMs: 2, attempt: 1, claim: 4711 },
  ...{ finishedAt: '2030-01-01T09:00:00.014Z', status: 200, durationMs: 12 },
}

export const EXAMPLE_STREAM = `retry: 1000

id: 1893488400012-0-1-43
event: delivered
data: ${JSON.stringify(EXAMPLE_DATA)}

`
