/** A message as it lies in Redis, read back by a claim or a look-up. */
export interface StoredMessage {
  /** When the client wanted it delivered, epoch ms. Stays the same through claims and retries. */
  readonly dueAt: number
  /** The payload as JSON text, kept unparsed: most readers only pass it on. */
  readonly payload: string
}

/**
 * Encodes all of a message's record but its due time, which the script puts in front, so that
 * `HGET {carillon:0}:messages <id>` reads `1730104372243`, a line break, and the payload's JSON.
 * What stands between the due time and the line break is kept free for options.
 *
 * @param payload JSON text; JSON never holds a raw line break outside of its white space
 */
export function encodeRecordBody(payload: string): string {
  return `\n${payload}`
}

/** Decodes a whole record. @throws TypeError when it is not one */
export function decodeRecord(record: string): StoredMessage {
  const lineBreak = record.indexOf('\n')
  const dueAt = Number(record.slice(0, lineBreak))
  if (lineBreak < 1 || !Number.isSafeInteger(dueAt)) {
    throw new TypeError(`not a message record: ${JSON.stringify(record.slice(0, 80))}`)
  }
  return { dueAt, payload: record.slice(lineBreak + 1) }
}
