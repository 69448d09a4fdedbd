import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import { HttpError } from '../errors/http-error.ts'

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i
const UTF8: ReadonlySet<string> = new Set(['utf-8', 'utf8'])
/** What the decoder puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = '\uFFFD'
const REPLACEMENT_BYTES = 3

/** @throws HttpError (415) when the content type names another charset than UTF-8 */
export function checkCharset({ 'content-type': contentType }: IncomingHttpHeaders): void {
  if (contentType === undefined || !contentType.includes(';')) return
  const charset = CHARSET.exec(contentType)?.[1]
  if (charset === undefined || UTF8.has(charset.toLowerCase())) return
  throw new HttpError({
    status: 415,
    detail: `content-type: charset ${charset} is not supported; it must be utf-8`,
  })
}

/** @returns a HttpError (400) when the bytes are not UTF-8 */
export function toText(bytes: Buffer): string | HttpError {
  const text = bytes.toString('utf8')
  // Nearly all texts have none, which is seen faster than that bytes are UTF-8.
  return text.includes(REPLACEMENT) && !isUtf8(bytes) ? new HttpError(notUtf8(bytes, text)) : text
}

function notUtf8(bytes: Buffer, text: string) {
  const at = firstWrongByte(bytes, text)
  const byte = bytes[at]?.toString(16).padStart(2, '0')
  return { status: 400, detail: `body: is not UTF-8: byte ${at} is 0x${byte}` }
}

/** @param text the bytes decoded @returns where the first one is that is not UTF-8, from 0 */
function firstWrongByte(bytes: Buffer, text: string): number {
  let at = 0
  let from = 0
  for (;;) {
    const found = text.indexOf(REPLACEMENT, from)
    at += Buffer.byteLength(text.slice(from, found))
    // The character itself is text like any other.
    if (bytes.toString('latin1', at, at + REPLACEMENT_BYTES) !== '\xEF\xBF\xBD') return at
    at += REPLACEMENT_BYTES
    from = found + 1
  }
}
