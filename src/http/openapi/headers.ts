import type { Json } from './json.ts'

const header = (description: string, schema: Json, example: string): Json => ({
  description,
  required: true,
  schema,
  example,
})

/** The headers of answers, which the document keeps among its components. */
export const HEADERS = {
  ETag: header("the message's version, for If-Match", { type: 'string', pattern: '^"[1-9][0-9]*"$' }, '"1"'),
  Location: header(
    'the URL of the message',
    { type: 'string', format: 'uri-reference' },
    '/v1/messages/~0VknCBoMfN7U',
  ),
  'Retry-After': header('when to retry, in seconds', { type: 'string', pattern: '^[0-9]+$' }, '1'),
  'Accept-Encoding': {
    ...header('supported content codings of a body', { type: 'string' }, 'gzip'),
    required: false,
  },
  'WWW-Authenticate': header('the authentication scheme', { type: 'string' }, 'Bearer'),
}

export const headers = (...names: (keyof typeof HEADERS)[]): Json =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]))

/** For an answer that may be about a message whose version is no longer known. */
export const ETAG_IF_KNOWN: Json = {
  ETag: {
    ...HEADERS.ETag,
    description: `${HEADERS.ETag.description}; omitted if only the id and the status are known`,
    required: false,
  },
}
