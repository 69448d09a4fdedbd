import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { missingPermission, NOT_SENT } from './redis-errors.ts'
import type { RedisTarget } from './redis-url.ts'
import { sentinelsThatMayWant } from './sentinel-credentials.ts'

/** Connections of a service start with this, so that an embedded Redis can count its users. */
const CONNECTION_NAME = 'carillon'

/** A command on a silent connection fails after this long, and the connection is made again. */
const SILENT_SOCKET_MS = 5_000

const LEAVE_REPLICA_EVERY_MS = 2_000

export interface RedisConnection {
  readonly client: Redis | Cluster
  /** Calls back at every change between ready and away. */
  onStateChange(listener: (state: 'ready' | 'away') => void): void
  isReady(): boolean
  /** In one phrase, for people. */
  unavailableReason(): string
  /** Resolves once ready; rejects with the last connection error after `timeoutMs`. */
  waitUntilReady(timeoutMs: number): Promise<void>
  /** Waits for what was sent, then closes; never throws. */
  close(): Promise<void>
}

/**
 * Connects to one Redis, to the master that sentinels name, or to a cluster, and stays connected.
 *
 * Nothing is queued while Redis is away, and the client never repeats a command: it fails at once, and its caller knows
 * whether it may be repeated. RESP2, because scripts answer flat lists.
 */
export function connect(target: RedisTarget): RedisConnection {
  const client = target.kind === 'cluster' ? connectCluster(target) : new Redis(optionsFor(target))
  return watch(client)
}

/**
 * Connects a subscriber. Every node of a cluster gets what is published: it uses one of those that `target` names, and
 * the next one when that is lost.
 *
 * The cluster client would change nodes too, but without a signal that something may have been missed.
 */
export function connectToHear(target: RedisTarget): RedisConnection {
  if (target.kind !== 'cluster') return connect(target)
  const { nodes, ...others } = target
  let at = Math.floor(Math.random() * nodes.length)
  const node = () => nodes[at % nodes.length] ?? { host: 'localhost', port: 6379 }
  const options = optionsFor({ ...others, kind: 'single', ...node() })
  const client = new Redis({
    ...options,
    retryStrategy(times) {
      at += 1
      // Read again at each attempt to connect.
      Object.assign(client.options, node())
      return options.retryStrategy(times)
    },
  })
  return watch(client)
}

function optionsFor(target: Exclude<RedisTarget, { kind: 'cluster' }>) {
  const common = {
    ...sharedOptions(target),
    db: target.db,
    enableOfflineQueue: false,
    retryStrategy: (times: number) =>
      Math.min(50 * 2 ** Math.min(times, 6), 1_000) * (0.75 + Math.random() / 2),
  }
  switch (target.kind) {
    case 'single':
      return { ...common, host: target.host, port: target.port }
    case 'socket':
      return { ...common, path: target.path }
    case 'sentinel':
      return {
        ...common,
        sentinels: target.sentinels.map((node) => ({ ...node })),
        name: target.name,
        ...credentialsForSentinels(target),
        ...(target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: tlsOf(target) } : {}),
      }
    default:
      return target satisfies never
  }
}

/** The sentinels' own credentials, or those of Redis if they need some: many have one password for both. */
function credentialsForSentinels(target: Extract<RedisTarget, { kind: 'sentinel' }>) {
  const { sentinelCredentials: own, password } = target
  if (own !== undefined) return { sentinelUsername: own.username ?? '', sentinelPassword: own.password ?? '' }
  return password === undefined ? {} : { Connector: sentinelsThatMayWant(target) }
}

const tlsOf = ({ ca }: RedisTarget) => (ca === undefined ? {} : { ca })

function sharedOptions(target: RedisTarget) {
  return {
    protocol: 2 as const,
    connectionName: CONNECTION_NAME,
    connectTimeout: 2_000,
    keepAlive: 5_000,
    socketTimeout: SILENT_SOCKET_MS,
    autoResendUnfulfilledCommands: false,
    // The client makes this subscription itself and nobody handles its promise: a rejection would end the process.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    reconnectOnError: leaveReplicas(),
    ...(target.tls ? { tls: tlsOf(target) } : {}),
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password }),
  }
}

/** A master that became a replica keeps its connections: leave it, but not repeatedly, and ask who is master. */
function leaveReplicas(): (error: Error) => boolean {
  let leftAt = Number.NEGATIVE_INFINITY
  return (error) => {
    const isReplica = /^(READONLY|MASTERDOWN)\b/.test(error.message)
    if (!isReplica || performance.now() - leftAt < LEAVE_REPLICA_EVERY_MS) return false
    leftAt = performance.now()
    return true
  }
}

/** A lost node is reconnected once after this time; if that fails, the client asks which node has its slots now. */
const RECONNECT_NODE_MS = 50

function connectCluster(target: Extract<RedisTarget, { kind: 'cluster' }>): Cluster {
  return new Cluster(
    target.nodes.map((node) => ({ ...node })),
    {
      // Calls wait for a node that is being connected. While the cluster is away, defineScript makes none.
      enableOfflineQueue: true,
      clusterRetryStrategy: (times) => Math.min(100 + times * 50, 1_000),
      clusterNodeRetryStrategy: (times) => (times === 1 ? RECONNECT_NODE_MS : null),
      // A call follows a moving slot for some tens of ms; callers know where and when else to try.
      maxRedirections: 4,
      retryDelayOnTryAgain: 20,
      // Neither of these: the client must not repeat what a lost node may have executed.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      redisOptions: sharedOptions(target),
    },
  )
}

/** A refused connection to several addresses is an AggregateError without a message. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'the connection was closed'
  const { lastNodeError } = error as { lastNodeError?: Error } // what ioredis adds to cluster failures
  if (lastNodeError !== undefined) return `${error.message} ${reasonOf(lastNodeError)}`
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join(', ')
  const right = error.name === 'ReplyError' ? missingPermission(error.message) : undefined
  return right === undefined ? error.message : `its user lacks ${right}`
}

/** The error of a renamed command, and of a proxy that does not support it. */
const NO_SUCH_COMMAND = /^ERR\b.*\bcommand\b/

function watch(client: Redis | Cluster): RedisConnection {
  let lastError: Error | undefined
  let state: 'ready' | 'away' = 'away'
  const listeners: ((state: 'ready' | 'away') => void)[] = []
  let closing = false
  const change = (next: 'ready' | 'away') => {
    if (next === state || closing) return
    state = next
    for (const listener of listeners) listener(next)
  }
  client.on('error', (error: Error) => {
    // A command that was not sent fails with "no connection", without a reason.
    if (NOT_SENT.test(error.message)) return
    lastError = error
    const { command } = error as { command?: { name?: string } }
    if (error.name !== 'ReplyError') return
    // The client would continue in database 0, and messages would be stored there.
    if (command?.name === 'select') client.disconnect(true)
    // The client asks for INFO before it is ready, so it never is where that command is disabled. This is read at the
    // next attempt to connect.
    if (command?.name === 'info' && NO_SUCH_COMMAND.test(error.message))
      client.options.enableReadyCheck = false
  })
  // The client asks a cluster for this before it is ready, and does not report the answer.
  if (client instanceof Cluster)
    client.on('connect', () => {
      client.cluster('INFO').catch((error: Error) => {
        if (error.name === 'ReplyError') lastError = error
      })
    })
  client.on('ready', () => {
    lastError = undefined
    change('ready')
  })
  client.on('close', () => change('away'))

  return {
    client,
    isReady: () => state === 'ready',
    unavailableReason: () => `Redis is away: ${reasonOf(lastError)}`,
    onStateChange: (listener) => void listeners.push(listener),
    waitUntilReady(timeoutMs) {
      if (state === 'ready') return Promise.resolve()
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          client.off('ready', onReady)
          reject(lastError ?? new Error(`no answer within ${timeoutMs} ms`))
        }, timeoutMs)
        const onReady = () => {
          clearTimeout(timer)
          resolve()
        }
        client.once('ready', onReady)
      })
    },
    async close() {
      closing = true
      const timeLimit = new AbortController()
      await Promise.race([
        client.quit().catch(() => undefined),
        delay(1_000, undefined, { signal: timeLimit.signal }).catch(() => undefined),
      ])
      timeLimit.abort()
      client.disconnect()
    },
  }
}
