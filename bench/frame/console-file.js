// @ts-check
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { temporaryFolder } from './processes.js'

/** As pino numbers levels. */
const WARN = 40

/** A file for a server's standard output. */
export async function createConsoleFile() {
  const path = join(await temporaryFolder(), 'console')
  let read = 0
  return {
    path,
    /**
     * What the server has written since the last time.
     *
     * @param {Set<string>} [ids] to which those of the messages are added
     * @returns {Promise<{ lines: number, distinct: number }>} messages; of which so many were not among the ids yet
     * @throws {Error} when the server has complained
     */
    async take(ids = new Set()) {
      let lines = 0
      const before = ids.size
      const stream = createReadStream(path, { start: read })
      for await (const line of createInterface(stream)) {
        const [, id] = /"messageId":"([^"]+)","dueAt":/.exec(line) ?? []
        if (id !== undefined) {
          lines += 1
          ids.add(id)
        } else if (JSON.parse(line).level >= WARN) throw new Error(`the server complains: ${line}`)
      }
      read += stream.bytesRead
      return { lines, distinct: ids.size - before }
    },
  }
}
