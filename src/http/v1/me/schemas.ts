import { Type } from '@sinclair/typebox'
import { nullable, TimeOut } from '../../validation/fields.schemas.ts'

const feature = (description: string) => Type.Boolean({ description, examples: [false] })

const EXAMPLE_FEATURES = { clock: false, events: true, telemetry: false, embedded: true }
const EXAMPLE_ME = {
  ...{ name: 'shop', scopes: ['read', 'write'], namespace: 'carillon', version: '0.1.0' },
  ...{ now: '2030-01-01T09:00:00.000Z', features: EXAMPLE_FEATURES },
}

export const MeReply = Type.Object(
  {
    name: nullable(Type.String(), 'the name of the API key; null without API keys', ['shop', null]),
    scopes: Type.Array(Type.String({ description: 'a scope', examples: ['read'] }), {
      description: 'what the key may do; everything without API keys',
      examples: [EXAMPLE_ME.scopes],
    }),
    namespace: Type.String({ description: 'NAMESPACE of the servers', examples: [EXAMPLE_ME.namespace] }),
    version: Type.String({ description: "the server's version of Carillon", examples: [EXAMPLE_ME.version] }),
    now: TimeOut("Redis's clock, by which messages are due"),
    features: Type.Object(
      {
        clock: feature('whether there is a test clock'),
        events: feature('whether there is GET /v1/events'),
        telemetry: feature('whether traces are exported'),
        embedded: feature('whether Redis is the embedded one'),
      },
      { description: 'what this server offers', examples: [EXAMPLE_FEATURES] },
    ),
  },
  { title: 'Me', description: 'an API key, and the server that it asks', examples: [EXAMPLE_ME] },
)
