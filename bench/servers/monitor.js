// @ts-check
import { once } from 'node:events'
import { connect } from 'node:net'

/**
 * @typedef {object} Commands
 * @property {number} sent by clients
 * @property {number} all that ran, those that scripts run too
 * @property {Record<string, number>} byName sent ones by their names, others as "name in scripts"
 */

/** As MONITOR writes: the time, the database and who asked, and the command, of which line breaks are escaped. */
const LINE = /^\+[\d.]+ \[\d+ (\S+)\] "(\w+)"/

/**
 * Counts what Redis does, by MONITOR, which alone tells what clients send from what scripts run.
 *
 * @param {readonly number[]} ports of all masters
 * @returns {Promise<() => Promise<Commands>>} ends it, and answers what was done since; what the bench asks of Redis
 *   meanwhile counts too
 */
export async function countCommands(ports) {
  /** @type {Record<string, number>} */
  const byName = {}
  let sent = 0
  let all = 0
  const note = (/** @type {string} */ line) => {
    const [, from, name = ''] = LINE.exec(line) ?? []
    if (from === undefined) return
    const key = from === 'lua' ? `${name.toLowerCase()} in scripts` : name.toLowerCase()
    byName[key] = (byName[key] ?? 0) + 1
    all += 1
    if (from !== 'lua') sent += 1
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
