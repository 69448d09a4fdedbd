import { Type } from '@sinclair/typebox'
import type { DestinationKind } from '../kind.ts'

export type ConsoleDestination = { readonly type: 'console' }

const EXAMPLE: ConsoleDestination = { type: 'console' }

const schema = Type.Object(
  { type: Type.Literal('console', { description: '"console"', examples: ['console'] }) },
  {
    title: 'ConsoleDestination',
    additionalProperties: false,
    description: 'a line on the console of the server that delivers it',
    examples: [EXAMPLE],
  },
)

/** The default, of which nothing is stored. */
export const consoleKind: DestinationKind<ConsoleDestination> = {
  type: 'console',
  schema,
  form: '{"type":"console"}',
  laneOf: () => '',
  restOf: () => '',
  read: () => EXAMPLE,
}
