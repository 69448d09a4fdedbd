import { type Logger, pino } from 'pino'
import type { LineFormat } from '../destinations/console/console.ts'
import type { Stdout } from '../destinations/console/stdout.ts'
import { allForTerminal } from './terminal-text.ts'

/** The log, on the same standard output as the console's messages. */
export function createLogger(stdout: Stdout, level: string, format?: LineFormat): Logger {
  const write = (line: string) => void stdout.write(format === undefined ? line : format(line))
  return pino({ level }, { write })
}

/** What a person at a terminal reads instead of JSON. */
export async function createTerminalFormat(): Promise<LineFormat> {
  const { prettyFactory } = await import('pino-pretty')
  const pretty = prettyFactory({
    colorize: true,
    ignore: 'pid,hostname,level',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  })
  // Nothing that a message or a request says may look like a line of the log, or move the cursor.
  return (line) => pretty(allForTerminal(JSON.parse(line)))
}
