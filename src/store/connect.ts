import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { missingPermission, NOT_SENT } from './redis-errors.ts'
import type { RedisTarget } from './redis-url.ts'
import { sentinelsThatMayWant } from './sentinel-credentials.ts'

/** Connections of a service start with this, so that an embedded Redis can count its users. */
const CONNECTION_NAME = 'carillon'

/** A command on a connection that has gone silent fails after this long, and the connection is made anew. */
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
 * Nothing is queued while Redis is away and nothing is re-sent behind our back: every command then fails at
 * once, and whoever sent it knows whether it may be sent again. RESP2, because scripts answer flat lists.
 */
export function connect(target: RedisTarget): RedisConnection {
  const client = target.kind === 'cluster' ? connectCluster(target) : new Redis(optionsFor(target))
  return watch(client)
}

/**
 * Connects for hearing what is published, which every node of a cluster is told of: to one of those that `target` names,
 * and to the next one when that is lost.
 *
 * The cluster client would change nodes too, but without telling that something may have been missed.
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
      // Read anew at each attempt to connect.
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

/** Their own, or those of Redis where they want some: many have one password for both. */
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
    // Nobody holds the promise of a subscription that the client makes itself: one that fails would end the process.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    reconnectOnError: leaveReplicas(),
    ...(target.tls ? { tls: tlsOf(target) } : {}),
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password }),
  }
}

/** A master that became a replica keeps its connections: leave it, but not over and over, and ask who is master. */
function leaveReplicas(): (error: Error) => boolean {
  let leftAt = Number.NEGATIVE_INFINITY
  return (error) => {
    const isReplica = /^(READONLY|MASTERDOWN)\b/.test(error.message)
    if (!isReplica || performance.now() - leftAt < LEAVE_REPLICA_EVERY_MS) return false
    leftAt = performance.now()
    return true
  }
}

/** A lost node is connected to once more after this; if that fails, who has its slots now is asked for. */
const RECONNECT_NODE_MS = 50

function connectCluster(target: Extract<RedisTarget, { kind: 'cluster' }>): Cluster {
  return new Cluster(
    target.nodes.map((node) => ({ ...node })),
    {
      // So that calls wait for a node that is being connected to; while the cluster is away, defineScript makes none.
      enableOfflineQueue: true,
      clusterRetryStrategy: (times) => Math.min(100 + times * 50, 1_000),
      clusterNodeRetryStrategy: (times) => (times === 1 ? RECONNECT_NODE_MS : null),
      // A call follows a slot that is being moved for some tens of ms; callers know where and when else to try.
      maxRedirections: 4,
      retryDelayOnTryAgain: 20,
      // Neither of these: what a lost node may have done must not be sent again by the client.
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

/** What a Redis says of a command that was renamed, and a proxy of one that it does not pass on. */
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
    // A command that was not sent says only that there is no connection, not why.
    if (NOT_SENT.test(error.message)) return
    lastError = error
    const { command } = error as { command?: { name?: string } }
    if (error.name !== 'ReplyError') return
    // The client would go on in database 0, and messages would be stored there.
    if (command?.name === 'select') client.disconnect(true)
    // The client asks for INFO before it is ready, and so never is where that command has been taken away. This is read
    // at the next attempt to connect.
    if (command?.name === 'info' && NO_SUCH_COMMAND.test(error.message))
      client.options.enableReadyCheck = false
  })
  // The client asks a cluster for this before it is ready, and keeps to itself what the answer was.
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
