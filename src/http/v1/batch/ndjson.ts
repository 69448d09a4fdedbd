import type { Readable } from 'node:stream'
import { TOO_MUCH_IN_FLIGHT } from '../../body/body-text.ts'
import { HttpError } from '../../errors/http-error.ts'
import { type Intake, type ItemResult, toItemReply, unconfirmed } from './batch.ts'
import { createLineSplitter, type Line } from './lines.ts'

/** Handed in together, in one turn of the event loop; fewer where a piece of the stream has fewer. */
const GROUP_LINES = 250
const GROUP_CHARACTERS = 1_048_576
/** The next group is read when at most this many are unanswered: 500 lines in all. */
const READ_ON_LINES = 250
const READ_ON_CHARACTERS = 2_097_152

export interface AnswerOptions {
  readonly intake: Pick<Intake, 'takeText'>
  /** bytes a line may have */
  readonly bodyLimit: number
  /** aborted, with the HttpError for the line after the last one, when reading has to stop */
  readonly ending: AbortSignal
  /** told before the end of the results, when they end although there may be more lines, which are read and dropped */
  readonly onEarlyEnd: () => void
  /** told how much of the source is held, in bytes or characters; @returns false where there is no room for that */
  readonly hold?: (bytes: number) => boolean
}

interface Group {
  readonly lines: readonly Line[]
  readonly characters: number
}

interface Answer {
  readonly results: string
  /** whether Redis left a line of it unconfirmed */
  readonly failed: boolean
}

/**
 * Stores one message per line, and yields the results as NDJSON, in order, as soon as Redis has confirmed them.
 *
 * Memory is bounded: at most 500 lines and a few mebibytes of them are in flight, and the source is read only as fast
 * as the results are. A line that Redis did not confirm ends the reading, and so do `ending` and a server without room.
 * Lines that were passed in by then are still answered. A source that fails ends the results without an error, as no
 * client is left to read one.
 */
export async function* answerLines(source: Readable, options: AnswerOptions): AsyncGenerator<string> {
  const { intake, bodyLimit, ending, onEarlyEnd, hold = () => true } = options
  const unanswered: { readonly group: Group; readonly answer: Promise<Answer> }[] = []
  let kept = 0
  const holdAll = () => hold(kept + charactersOf(unanswered))
  const groups = groupsOf(source, bodyLimit, (bytes) => {
    kept = bytes
    if (!holdAll()) throw new HttpError(TOO_MUCH_IN_FLIGHT)
  })
  let why: HttpError | undefined
  let reading: Promise<Group | 'end' | 'stop'> | undefined
  let state: 'reading' | 'ended' | 'failed' | 'stopped' = 'reading'
  let lastLine = 0
  let stop = () => {}

  const readGroup = () =>
    new Promise<Group | 'end' | 'stop'>((resolve) => {
      stop = () => resolve('stop')
      if (ending.aborted) return stop()
      groups.next().then(
        ({ value, done }) => resolve(done ? 'end' : value),
        (error) => {
          if (error instanceof HttpError) why = error
          resolve(error instanceof HttpError ? 'stop' : 'end')
        },
      )
    })
  const onEnding = () => stop()
  ending.addEventListener('abort', onEnding)

  try {
    yield '' // sends the headers, as a client may wait for them before its first line
    while (state === 'reading' || unanswered.length > 0) {
      const [oldest] = unanswered
      if (state === 'reading' && hasRoom(unanswered)) reading ??= readGroup()
      const next = await Promise.race([oldest?.answer, reading].filter((each) => each !== undefined))

      if (typeof next === 'object' && 'results' in next) {
        unanswered.shift()
        holdAll()
        if (next.failed) state = 'failed'
        if (state === 'failed') reading = undefined
        yield next.results
        continue
      }
      reading = undefined
      if (next === 'end') state = 'ended'
      else if (next === 'stop') state = 'stopped'
      else {
        unanswered.push({ group: next, answer: answer(intake, next) })
        lastLine = next.lines.at(-1)?.number ?? lastLine
      }
    }
    if (state === 'ended') return
    onEarlyEnd()
    void drop(groups).then(() => source.resume())
    if (state === 'stopped') yield toText(lastLine + 1, toItemResult(why ?? ending.reason))
  } finally {
    ending.removeEventListener('abort', onEnding)
  }
}

/** Reads to the end: a connection that is closed on unread data is reset, and the client may lose its last results. */
async function drop(groups: AsyncIterable<Group>): Promise<void> {
  try {
    for await (const _ of groups);
  } catch {
    // It broke off.
  }
}

function hasRoom(unanswered: readonly { readonly group: Group }[]): boolean {
  let lines = 0
  for (const { group } of unanswered) lines += group.lines.length
  return lines <= READ_ON_LINES && charactersOf(unanswered) <= READ_ON_CHARACTERS
}

function charactersOf(unanswered: readonly { readonly group: Group }[]): number {
  let characters = 0
  for (const { group } of unanswered) characters += group.characters
  return characters
}

/** Does not wait for the source while it has a line. @param onKept called with the bytes of an incomplete line */
async function* groupsOf(
  source: Readable,
  bodyLimit: number,
  onKept: (bytes: number) => void,
): AsyncGenerator<Group, undefined> {
  const splitter = createLineSplitter(bodyLimit)
  // Destroying the source would close the connection, on which the results are still to go out.
  for await (const piece of source.iterator({ destroyOnReturn: false })) {
    yield* grouped(splitter.split(piece as Buffer))
    onKept(splitter.keptBytes)
  }
  yield* grouped(splitter.rest())
}

function* grouped(all: Iterable<Line>): Generator<Group> {
  let lines: Line[] = []
  let characters = 0
  for (const line of all) {
    lines.push(line)
    characters += typeof line.text === 'string' ? line.text.length : 0
    if (lines.length < GROUP_LINES && characters < GROUP_CHARACTERS) continue
    yield { lines, characters }
    lines = []
    characters = 0
  }
  if (lines.length > 0) yield { lines, characters }
}

async function answer(intake: Pick<Intake, 'takeText'>, { lines }: Group): Promise<Answer> {
  const itemResults = await Promise.all(
    lines.map(({ text }) => (typeof text === 'string' ? intake.takeText(text) : toItemResult(text))),
  )
  let results = ''
  let failed = false
  for (const [i, result] of itemResults.entries()) {
    results += toText(lines[i]?.number ?? 0, result)
    failed ||= unconfirmed(result) !== undefined
  }
  return { results, failed }
}

const toItemResult = ({ reply: error }: HttpError): ItemResult => ({ error })
const toText = (line: number, result: ItemResult) => `${JSON.stringify({ line, ...toItemReply(result) })}\n`
