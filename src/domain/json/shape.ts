/** Undefined for a text that is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const isText = (value: unknown): value is string => typeof value === 'string'
export const isTextOrAbsent = (value: unknown): value is string | undefined =>
  value === undefined || isText(value)
export const isNumberOrAbsent = (value: unknown): value is number | undefined =>
  value === undefined || typeof value === 'number'
