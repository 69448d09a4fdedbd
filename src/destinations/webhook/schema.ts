import { type TUnsafe, Type } from '@sinclair/typebox'

export const WEBHOOK_METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'] as const
export const DEFAULT_WEBHOOK_TIMEOUT_MS = 15_000

/** An HTTP endpoint; what is absent is as by default. */
export type WebhookDestination = {
  readonly type: 'webhook'
  readonly url: string
  /** POST unless given */
  readonly method?: (typeof WEBHOOK_METHODS)[number]
  readonly headers?: Readonly<Record<string, string>>
  /** DEFAULT_WEBHOOK_TIMEOUT_MS unless given */
  readonly timeoutMs?: number
}

const EXAMPLE = {
  type: 'webhook',
  url: 'https://shop.example.com/hooks/carillon',
  headers: { 'x-shop': 'berlin' },
  timeoutMs: 5_000,
} satisfies WebhookDestination

const Headers = Type.Object(
  {},
  {
    additionalProperties: Type.String({ description: "a header's value, a string" }),
    description:
      'an object of strings: additional headers, except webhook-*, carillon-* and those of the connection',
    examples: [EXAMPLE.headers],
  },
) as unknown as TUnsafe<Record<string, string>> // it is checked as that, and TypeBox has no type to say so

export const webhookSchema = Type.Object(
  {
    type: Type.Literal('webhook', { description: '"webhook"', examples: ['webhook'] }),
    url: Type.String({
      description: 'an http or https URL without credentials, with an allowed address',
      examples: [EXAMPLE.url],
    }),
    method: Type.Optional(
      Type.Union(
        WEBHOOK_METHODS.map((method) => Type.Literal(method)),
        {
          description: `the method (default POST; GET has no body): one of ${WEBHOOK_METHODS.join(', ')}`,
          examples: [WEBHOOK_METHODS[0]],
        },
      ),
    ),
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
    examples: [EXAMPLE],
  },
)
