import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { onTestFinished } from 'vitest'
import { until } from './until.ts'

/** An event as a client receives it. */
export interface Event {
  /** "" until there was one */
  readonly id: string
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: what it is its test knows
  readonly data: any
}

/** A client of GET /v1/events that reads. */
export interface Listener {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** every event so far */
  readonly events: readonly Event[]
  /** lines that begin with a colon */
  readonly comments: readonly string[]
  /** as a browser sends it when it reconnects */
  lastId(): string
  /** what came if it was no stream */
  body(): string
  of(...types: string[]): Event[]
  hasEnded(): boolean
  /** Waits until so many events of these types, of any unless given, have come. */
  came(count: number, ...types: string[]): Promise<void>
  stopReading(): void
  readOn(): void
  /** Goes, as a client that is killed. */
  close(): void
}

export interface ListenOptions {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Opens a stream. @returns once its headers, and the first lines of a stream, have come */
export async function listen(
  url: string,
  { query = '', headers = {} }: ListenOptions = {},
): Promise<Listener> {
  const events: Event[] = []
  const comments: string[] = []
  let response: IncomingMessage | undefined
  let text = ''
  let id = headers['last-event-id'] ?? ''
  let hasBegun = false
  let ended = false
  const request: ClientRequest = get(`${url}/v1/events${query}`, { headers, agent: false }, (incoming) => {
    response = incoming
    incoming.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (!String(incoming.headers['content-type']).startsWith('text/event-stream')) return
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) take(block)
    })
    incoming.on('close', () => {
      ended = true
    })
    incoming.on('error', () => undefined)
  })
  request.on('error', () => {
    ended = true
  })
  onTestFinished(() => void request.destroy())

  function take(block: string): void {
    hasBegun = true
    const fields = new Map<string, string>()
    for (const line of block.split('\n')) {
      const colon = line.indexOf(': ')
      if (line.startsWith(':')) comments.push(line)
      else fields.set(line.slice(0, colon), line.slice(colon + 2))
    }
    id = fields.get('id') ?? id
    const data = fields.get('data')
    if (data !== undefined) events.push({ id, event: fields.get('event') ?? '', data: JSON.parse(data) })
  }

  await until('the stream begins', () => hasBegun || ended)
  const of = (...types: string[]) => events.filter(({ event }) => types.length === 0 || types.includes(event))
  return {
    status: response?.statusCode ?? 0,
    headers: response?.headers ?? {},
    events,
    comments,
    lastId: () => id,
    body: () => text,
    of,
    hasEnded: () => ended,
    came: (count, ...types) =>
      until(`${count} events ${types.join(', ')} came`, () => of(...types).length >= count),
    stopReading: () => void response?.pause(),
    readOn: () => void response?.resume(),
    close: () => void request.destroy(),
  }
}
