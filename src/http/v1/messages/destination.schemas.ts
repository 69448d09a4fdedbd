import { Type } from '@sinclair/typebox'
import { type AnyDestination, DESTINATIONS } from '../../../destinations/registry.ts'

const examples = DESTINATIONS.map(({ type, schema }) => [type, schema.examples[0] as AnyDestination] as const)
/** The example of each type. */
export const EXAMPLE_DESTINATIONS = Object.fromEntries(examples) as Readonly<
  Record<AnyDestination['type'], AnyDestination>
>

const forms = DESTINATIONS.map(({ form }) => form)

/** Where a message goes. Checks that need the sender, such as whether a URL is allowed, are not in the schema. */
export const Destination = Type.Unsafe<AnyDestination>(
  Type.Union(
    DESTINATIONS.map(({ schema }) => schema),
    {
      title: 'Destination',
      discriminator: { propertyName: 'type' },
      description: `an object: ${forms.slice(0, -1).join(', ')} or ${forms.at(-1)}`,
      examples: examples.map(([, example]) => example),
    },
  ),
)
