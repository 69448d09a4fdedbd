/** A record that servers and scripts do not write: another program has changed it. */
export class UnreadableError extends TypeError {
  override readonly name = 'UnreadableError'
}

export const unreadableError = (what: string, text: string): UnreadableError =>
  new UnreadableError(`not a ${what}: ${JSON.stringify(text.slice(0, 80))}`)

/** The last time that a Date can hold. Scripts add to times without checking the calendar. */
const LAST_DATE_MS = 8_640_000_000_000_000
export const isTime = (ms: number): boolean => Number.isInteger(ms) && ms >= 0 && ms <= LAST_DATE_MS
