import { type TUnsafe, Type } from '@sinclair/typebox'
import { DEFAULT_WEBHOOK_TIMEOUT_MS, WEBHOOK_METHODS } from '../../../domain/message.ts'
import { NAME, words } from '../../validation/fields.schemas.ts'

const EXAMPLE_URL = 'https://shop.example.com/hooks/carillon'
const EXAMPLE_HEADERS = { 'x-shop': 'berlin' }
export const EXAMPLE_DESTINATIONS = {
  console: { type: 'console' },
  webhook: { type: 'webhook', url: EXAMPLE_URL, headers: EXAMPLE_HEADERS, timeoutMs: 5_000 },
  stream: { type: 'stream', name: 'invoices', maxLen: 100_000 },
  pull: { type: 'pull', queue: 'mails' },
}

const only = <T extends string>(type: T) => Type.Literal(type, { description: `"${type}"`, examples: [type] })

const Console = Type.Object(
  { type: only('console') },
  {
    title: 'ConsoleDestination',
    additionalProperties: false,
    description: 'a line on the console of the server that delivers it',
    examples: [EXAMPLE_DESTINATIONS.console],
  },
)

const Headers = Type.Object(
  {},
  {
    additionalProperties: Type.String({ description: "a header's value, a string" }),
    description:
      'an object of strings: additional headers, except webhook-*, carillon-* and those of the connection',
    examples: [EXAMPLE_HEADERS],
  },
) as unknown as TUnsafe<Record<string, string>> // it is checked as that, and TypeBox has no type to say so

const Webhook = Type.Object(
  {
    type: only('webhook'),
    url: Type.String({
      description: 'an http or https URL without credentials, with an allowed address',
      examples: [EXAMPLE_URL],
    }),
    method: Type.Optional(words(WEBHOOK_METHODS, 'the method (default POST; GET has no body)')),
    headers: Type.Optional(Headers),
    timeoutMs: Type.Optional(
      Type.Integer({
        minimum: 100,
        maximum: 3_600_000,
        description: `100 to 3600000 milliseconds for a delivery (default ${DEFAULT_WEBHOOK_TIMEOUT_MS})`,
        examples: [5_000],
      }),
    ),
  },
  {
    title: 'WebhookDestination',
    additionalProperties: false,
    description: 'an HTTP endpoint: it receives the payload as JSON and acknowledges it with 2xx',
    examples: [EXAMPLE_DESTINATIONS.webhook],
  },
)

const Stream = Type.Object(
  {
    type: only('stream'),
    name: Type.String({ ...NAME, examples: ['invoices'] }),
    maxLen: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000_000,
        description: '1 to 1000000000 entries that the stream keeps per shard (default: all)',
        examples: [100_000],
      }),
    ),
  },
  {
    title: 'StreamDestination',
    additionalProperties: false,
    description: 'a Redis Stream with one key per shard; GET /v1/stats lists the keys',
    examples: [EXAMPLE_DESTINATIONS.stream],
  },
)

const Pull = Type.Object(
  { type: only('pull'), queue: Type.String({ ...NAME, examples: ['mails'] }) },
  {
    title: 'PullDestination',
    additionalProperties: false,
    description: 'a queue from which workers claim messages over HTTP',
    examples: [EXAMPLE_DESTINATIONS.pull],
  },
)

/** Where a message goes. Checks that need the sender, such as whether a URL is allowed, are not in the schema. */
export const Destination = Type.Union([Console, Webhook, Stream, Pull], {
  title: 'Destination',
  discriminator: { propertyName: 'type' },
  description:
    'an object: {"type":"console"}, {"type":"webhook","url":"https://..."}, ' +
    '{"type":"stream","name":"..."} or {"type":"pull","queue":"..."}',
  examples: Object.values(EXAMPLE_DESTINATIONS),
})
