import { type Logger, pino } from 'pino'
import type { LineFormat } from './deliver/console.ts'
import type { Stdout } from './deliver/stdout.ts'

/** The log, on the same standard output as the console's messages. */
export function createLogger(stdout: Stdout, level: string, format?: LineFormat): Logger {
  const write = (line: string) => void stdout.write(format === undefined ? line : format(line))
  return pino({ level }, { write })
}

/** What a person at a terminal reads instead of JSON. */
export async function createTerminalFormat(): Promise<LineFormat> {
  const { prettyFactory } = await import('pino-pretty')
  return prettyFactory({
    colorize: true,
    ignore: 'pid,hostname,level',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  })
}
