import { Type } from '@sinclair/typebox'
import { NAME } from '../../domain/names.ts'
import type { DestinationKind } from '../kind.ts'

export type StreamDestination = { readonly type: 'stream'; readonly name: string; readonly maxLen?: number }

const EXAMPLE: StreamDestination = { type: 'stream', name: 'invoices', maxLen: 100_000 }

const schema = Type.Object(
  {
    type: Type.Literal('stream', { description: '"stream"', examples: ['stream'] }),
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
    examples: [EXAMPLE],
  },
)

/** A Redis Stream, into which a script moves its messages; see lua/lib/streams.lua, which reads name and length. */
export const streamKind: DestinationKind<StreamDestination> = {
  type: 'stream',
  schema,
  form: '{"type":"stream","name":"..."}',
  laneOf: () => 'stream',
  restOf: ({ name, maxLen }) => (maxLen === undefined ? name : `${name} ${maxLen}`),
  read(_lane, rest) {
    const [, name, maxLen] = /^(\S+)(?: (\d{1,15}))?$/.exec(rest) ?? []
    if (name === undefined) return undefined
    return { type: 'stream', name, ...(maxLen === undefined ? {} : { maxLen: Number(maxLen) }) }
  },
}
