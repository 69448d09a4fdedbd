// @ts-check
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * @typedef {object} Commands
 * @property {number} sent by the servers
 * @property {number} all that ran, those that scripts run too
 * @property {Record<string, number>} byName sent ones by their names, and scripts by theirs; others as "name in
 *   scripts"
 */

/** As MONITOR writes: the time, the database and who asked, the command and what follows; line breaks are escaped. */
const LINE = /^\+[\d.]+ \[\d+ (\S+)\] "(\w+)"(?: "(\w+)")?/

/**
 * Counts what servers have Redis do, by MONITOR, which alone tells what clients send from what scripts run.
 *
 * @param {import('../frame/redis.js').BenchRedis} redis what the bench asks of it meanwhile does not count
 * @param {ReadonlyMap<string, string>} scripts names by SHA-1
 * @returns {Promise<() => Promise<Commands>>} ends it, and answers what was done since
 */
export async function countCommands({ ports, clients }, scripts) {
  const own = await Promise.all(
    clients.map(async (client) => /addr=(\S+)/.exec(await client.client('INFO'))?.[1]),
  )
  /** @type {Record<string, number>} */
  const byName = {}
  let sent = 0
  let all = 0
  const note = (/** @type {string} */ line) => {
    const [, from, command = '', argument = ''] = LINE.exec(line) ?? []
    if (from === undefined || own.includes(from)) return
    const name = command.toLowerCase()
    const isOfScript = from === 'lua'
    const key = isOfScript ? `${name} in scripts` : (scripts.get(argument) ?? name)
    byName[key] = (byName[key] ?? 0) + 1
    all += 1
    if (!isOfScript) sent += 1
  }
  const sockets = await Promise.all(ports.map((port) => follow(port, note)))
  return async () => {
    for (const socket of sockets) {
      // What is on its way comes before the answer to this.
      socket.end('QUIT\r\n')
      await once(socket, 'close')
    }
    return { sent, all, byName }
  }
}

/** @type {(port: number, note: (line: string) => void) => Promise<import('node:net').Socket>} */
async function follow(port, note) {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let rest = ''
  socket.write('MONITOR\r\n')
  const [answer] = await once(socket, 'data')
  if (!answer.startsWith('+OK')) throw new Error(`MONITOR was answered ${answer}`)
  socket.on('data', (/** @type {string} */ text) => {
    const lines = (rest + text).split('\r\n')
    rest = lines.pop() ?? ''
    for (const line of lines) note(line)
  })
  return socket
}

/**
 * @param {string} checkout that is built
 * @returns {Promise<Map<string, string>>} the names of its scripts by SHA-1, as EVALSHA calls them
 */
export async function scriptNames(checkout) {
  const [module = ''] = ['dist/store/lua.js', 'dist/redis/lua.js'] // the second is where older checkouts have it
    .map((path) => join(checkout, path))
    .filter(existsSync)
  const { loadScript } = /** @type {typeof import('../../src/store/lua.ts')} */ (
    await import(pathToFileURL(module).href)
  )
  const files = readdirSync(join(checkout, 'lua'), { recursive: true, encoding: 'utf8' })
  const names = files.flatMap((file) => /^(?!lib\/)(?:.*\/)?(.*)\.lua$/.exec(file)?.[1] ?? [])
  return new Map(names.map((name) => [createHash('sha1').update(loadScript(name).lua).digest('hex'), name]))
}
