import { Type } from '@sinclair/typebox'
import { NAME } from '../../domain/names.ts'
import type { DestinationKind } from '../kind.ts'

export type PullDestination = { readonly type: 'pull'; readonly queue: string }

const EXAMPLE: PullDestination = { type: 'pull', queue: 'mails' }
const PREFIX = 'pull:'

const schema = Type.Object(
  {
    type: Type.Literal('pull', { description: '"pull"', examples: ['pull'] }),
    queue: Type.String({ ...NAME, examples: ['mails'] }),
  },
  {
    title: 'PullDestination',
    additionalProperties: false,
    description: 'a queue from which workers claim messages over HTTP',
    examples: [EXAMPLE],
  },
)

/** A queue that workers pull from over HTTP, see src/leases. */
export const pullKind: DestinationKind<PullDestination> = {
  type: 'pull',
  schema,
  form: '{"type":"pull","queue":"..."}',
  laneOf: ({ queue }) => PREFIX + queue,
  restOf: () => '',
  read: (lane, rest) =>
    lane.startsWith(PREFIX) && rest === '' ? { type: 'pull', queue: lane.slice(PREFIX.length) } : undefined,
}
