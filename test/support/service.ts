import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { inject } from 'vitest'
import type { MessageReply } from '../../src/http/v1/messages/schemas.ts'
import { startChild } from './children.ts'
import { readSamples } from './prometheus.ts'
import { soon } from './speed.ts'
import { until } from './until.ts'

/** The line of a message on the console of a server, and when this process read it. */
export interface ConsoleLine {
  readonly messageId: string
  readonly dueAt: number
  readonly lateMs: number
  readonly attempt: number
  readonly msg: string
  readonly seenAt: number
}

export interface Service {
  readonly url: string
  readonly pid: number
  /** every line of the log so far, except those of messages */
  readonly log: readonly Record<string, unknown>[]
  /** every delivered message so far */
  readonly delivered: readonly ConsoleLine[]
  post(time: unknown, message: unknown): Promise<{ status: number; body: Record<string, string> }>
  /**
   * A due time that is still in the future after that many requests to this server, one unless given.
   * @returns epoch ms
   */
  soon(requests?: number): Promise<number>
  get(path: string): Promise<{ status: number; body: Record<string, string> }>
  /** Sends a request, with a JSON body if given. @returns the status and the JSON body, undefined for none */
  call<T = MessageReply>(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: T }>
  /** @returns its Prometheus samples, by name and labels */
  metrics(): Promise<Map<string, number>>
  signal(signal: NodeJS.Signals): void
  /** Stops reading the console of the server, as a stuck log collector does. */
  stopReading(): void
  readOn(): void
  /** Closes the reading end of the server's console. */
  closeConsole(): void
  /** its standard error so far */
  stderr(): string
  /** Sends the signal and waits for the end. @returns the exit code, null after SIGKILL */
  end(signal?: NodeJS.Signals): Promise<number | null>
  hasEnded(): boolean
}

export interface ServiceOptions {
  readonly env?: Readonly<Record<string, string>>
  /** how wrong this server's own clock is, ms */
  readonly clockErrorMs?: number
  /** host names that only this server resolves, and the IPv4 address of each */
  readonly hosts?: Readonly<Record<string, string>>
  /** the limit of open files and connections; that of the tests unless given */
  readonly descriptors?: number
  /** the built checkout that it runs from; this one unless given. @see olderVersion */
  readonly folder?: string
}

/** The arguments of node in `npm start`. */
export const START = (
  JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } }
).scripts.start
  .split(' ')
  .slice(2)

/** A module that makes the clock of a server wrong. Timers and the monotonic clock stay right. */
const wrongClock = (errorMs: number) =>
  `data:text/javascript,${encodeURIComponent(`
    const right = Date.now
    globalThis.Date = class extends Date {
      constructor(...args) { args.length > 0 ? super(...args) : super(right() + ${errorMs}) }
      static now() { return right() + ${errorMs} }
    }`)}`

/** A module that makes a server resolve more host names. */
const moreHosts = (hosts: Readonly<Record<string, string>>) =>
  `data:text/javascript,${encodeURIComponent(`
    import dns from 'node:dns'
    import { syncBuiltinESMExports } from 'node:module'
    const hosts = new Map(Object.entries(${JSON.stringify(hosts)}))
    const others = dns.lookup
    dns.lookup = (name, options, callback) => {
      const address = hosts.get(name)
      if (address === undefined) return others(name, options, callback)
      setImmediate(callback, null, [{ address, family: 4 }])
    }
    syncBuiltinESMExports()`)}`

/** Runs `node dist/main.js` on a free port and waits until it listens. It ends with the test at the latest. */
export async function startService({
  env = {},
  clockErrorMs = 0,
  hosts = {},
  descriptors,
  folder = '.',
}: ServiceOptions = {}): Promise<Service> {
  const started = runService({ env, clockErrorMs, hosts, descriptors, folder })
  await until('the server listens', () => {
    if (started.hasEnded()) throw new Error(`the server ended at start: ${started.stderr()}`)
    return started.url !== ''
  })
  return started
}

/** Runs a server that has to refuse to start. @returns its exit code and its standard error */
export async function refusedStart(
  env: Readonly<Record<string, string>>,
): Promise<{ code: number | null; stderr: string }> {
  const started = runService({ env, clockErrorMs: 0, hosts: {}, descriptors: undefined, folder: '.' })
  try {
    await until('the server ends', started.hasEnded)
  } finally {
    await started.end('SIGKILL')
  }
  return { code: started.exitCode(), stderr: started.stderr() }
}

type Given = Required<Omit<ServiceOptions, 'descriptors'>> & { descriptors: number | undefined }

function runService({ env, clockErrorMs, hosts, descriptors, folder }: Given) {
  const preload = [
    ...(clockErrorMs === 0 ? [] : ['--import', wrongClock(clockErrorMs)]),
    ...(Object.keys(hosts).length === 0 ? [] : ['--import', moreHosts(hosts)]),
  ]
  const command = [process.execPath, ...preload, ...START]
  const [program = '', ...args] =
    descriptors === undefined ? command : ['sh', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, ...command]
  const child = startChild(program, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, PORT: '0', REDIS_URL: inject('redisUrl'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  const output = readOutput(child)
  const request = async (path: string, init: RequestInit) => {
    const response = await fetch(output.url() + path, init)
    return { status: response.status, body: (await response.json()) as Record<string, string> }
  }

  return {
    get url() {
      return output.url()
    },
    pid: child.pid ?? 0,
    log: output.log,
    delivered: output.delivered,
    get: (path: string) => request(path, {}),
    async call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal) {
      const response = await fetch(output.url() + path, {
        method,
        ...(signal === undefined ? {} : { signal }),
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      })
      const text = await response.text()
      // The caller knows the type. A wrong one fails its test.
      return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T }
    },
    metrics: async () => readSamples(await (await fetch(`${output.url()}/metrics`)).text()),
    post: (time: unknown, message: unknown) =>
      request('/echoAtTime', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ time, message }),
      }),
    // Each goes to Redis and back, as a posted message does.
    soon: (requests?: number) => soon(() => request('/health', {}), requests),
    signal: (signal: NodeJS.Signals) => void child.kill(signal),
    stopReading: () => void child.stdout.pause(),
    readOn: () => void child.stdout.resume(),
    closeConsole: () => void child.stdout.destroy(),
    async end(signal: NodeJS.Signals = 'SIGTERM') {
      if (!hasEnded()) child.kill(signal)
      await ended
      return child.exitCode
    },
    hasEnded,
    exitCode: () => child.exitCode,
    stderr: output.stderr,
  }

  function hasEnded(): boolean {
    return child.exitCode !== null || child.signalCode !== null
  }
}

/** Reads what a server prints: its log, the messages on its console, and its standard error. */
function readOutput(child: ChildProcessByStdio<null, Readable, Readable>) {
  const log: Record<string, unknown>[] = []
  const delivered: ConsoleLine[] = []
  let stderr = ''
  let url = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const take = (text: string) => {
    const line = JSON.parse(text) as Record<string, unknown>
    if ('messageId' in line && 'dueAt' in line) {
      delivered.push({ ...(line as unknown as ConsoleLine), seenAt: Date.now() })
      return
    }
    log.push(line)
    url ||= /listening on (http:\S+)/.exec(String(line.msg))?.[1] ?? ''
  }
  // Complete lines only: SIGKILL may cut the last one.
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(take)
  })
  return { log, delivered, url: () => url, stderr: () => stderr }
}
