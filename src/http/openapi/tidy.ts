import type { Json } from './json.ts'

/**
 * Gives schemas with a title a place in the components, and writes choices among words, and among objects told apart by
 * a field, as tools like them best.
 */
export function tidy(value: unknown, schemas: Json): unknown {
  if (Array.isArray(value)) return value.map((item) => tidy(item, schemas))
  if (typeof value !== 'object' || value === null) return value
  const { anyOf, ...rest } = value as Json
  const words = Array.isArray(anyOf) ? wordsOf(anyOf) : undefined
  const source = words === undefined ? (value as Json) : { type: 'string', enum: words, ...rest }
  const tidied = Object.fromEntries(
    Object.entries(source).map(([key, item]) => [
      key,
      // Examples are data, not schemas.
      key === 'example' || key === 'examples' ? item : tidy(item, schemas),
    ]),
  )
  if (tidied.discriminator !== undefined) tellApart(tidied, anyOf as Json[])
  if (typeof tidied.title !== 'string' || (tidied.type !== 'object' && tidied.oneOf === undefined))
    return tidied
  // One that was a whole body had its example taken by the media type around it.
  schemas[tidied.title] = { ...(schemas[tidied.title] as Json | undefined), ...tidied }
  return { $ref: `#/components/schemas/${tidied.title}` }
}

/** @param tidied a union, whose variants have their places by now @param variants what they were before */
function tellApart(tidied: Json, variants: readonly Json[]): void {
  const { propertyName } = tidied.discriminator as { propertyName: string }
  const places = tidied.anyOf as { $ref: string }[]
  const wordOf = ({ properties }: Json) => (properties as Record<string, Json>)[propertyName]?.const
  tidied.oneOf = places
  tidied.discriminator = {
    propertyName,
    mapping: Object.fromEntries(variants.map((variant, i) => [wordOf(variant), places[i]?.$ref])),
  }
  delete tidied.anyOf
}

function wordsOf(choices: unknown[]): string[] | undefined {
  const words = choices.map((choice) => (choice as Json).const)
  return words.every((word) => typeof word === 'string') ? words : undefined
}
