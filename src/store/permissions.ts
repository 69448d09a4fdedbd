import { Cluster, type Redis } from 'ioredis'
import { SchedulerError } from '../domain/errors.ts'
import { withTimeout } from '../runtime/time-limit.ts'
import { scriptContext } from './define-script.ts'
import { keysOf, namespaceKeysOf, trafficKeyOf, wakeChannelOf } from './keys.ts'
import { loadScript, SCRIPT_PATHS } from './lua.ts'
import { SHORTEST } from './preflight.ts'
import { MISSING_KEYS, missingPermission } from './redis-errors.ts'

type Call = readonly string[]

/** Commands that are not called by a script; on a cluster more. Each is a right that has to be there. */
const PLAIN: readonly Call[] = [['PING'], ['EVAL', 'return 1', '0'], ['EVALSHA', 'sha', '0']]
const OF_A_CLUSTER: readonly Call[] = [
  ['CLUSTER', 'SLOTS'],
  ['CLUSTER', 'INFO'],
]
/** Without these the service works, and tells less. */
const OPTIONAL: readonly Call[] = [['INFO']]
/** Sent by the client library, which continues when it is refused. */
const OF_THE_CLIENT = ['+client|setname']
/** The audit is a program of its own. */
const AUDIT_FOLDER = 'audit/'
/** Only for messages whose destination is a stream, and for events. */
const FOR_STREAMS = 'XADD'
/** Only for events. */
const FOR_EVENTS = ['+xlen', '+xrange', '+xrevrange', '+xtrim']
const OPTIONAL_RULES = ['+info', '+xadd', ...FOR_EVENTS]

export interface PermissionsOptions {
  readonly namespace: string
  readonly db: number
  /** whose rights they are; undefined for `default` */
  readonly username: string | undefined
}

/** What the user of a connection may not do, each in the form of an ACL rule, such as `+zadd`. */
export interface MissingPermissions {
  /** without which the service cannot do all it should */
  readonly required: readonly string[]
  /** without which only streams do not work, or less is told */
  readonly optional: readonly string[]
}

export interface Permissions {
  /**
   * A dry run of all that the service does in a shard and with Redis.
   * @throws Error when Redis does not answer
   */
  check(shard: number): Promise<MissingPermissions>
  /** the command of an ACL that grants all of them, and nothing else */
  readonly rule: string
}

/** Every command that the service's scripts call; XADD, whose failure they bear, among them. */
export function commandsOfScripts(): string[] {
  const names = [...SCRIPT_PATHS].flatMap(([name, path]) => (path.startsWith(AUDIT_FOLDER) ? [] : [name]))
  const all = names.flatMap((name) => loadScript(name).commands)
  return [...new Set([...all, FOR_STREAMS])].sort()
}

export function createPermissions(
  client: Redis | Cluster,
  { namespace, db, username = 'default' }: PermissionsOptions,
): Permissions {
  const script = scriptContext(client, { namespace }).define('permissions', { args: ['calls'], timed: true })
  const isCluster = client instanceof Cluster
  const channel = wakeChannelOf(namespace)
  const commands = commandsOfScripts()
  const plain = plainCalls(isCluster, db !== 0)
  const keyRule = (key: string) => (key.startsWith('{') ? `~{${namespace}:*` : `~${namespace}:*`)
  const streamRule = `~{${namespace}:*}:stream:*`
  const isOptional = (rule: string) => [...OPTIONAL_RULES, streamRule].includes(rule)

  async function deniedOf(shard: number): Promise<string[]> {
    const ofShard = keysOf(shard, namespace)
    const ofNamespace = [...namespaceKeysOf(namespace), trafficKeyOf(namespace, 0)]
    const keys = [...Object.values({ ...ofShard }), ...ofNamespace]
    const onKeys = keys.map((key): Call => ['EVALSHA', 'sha', '1', key])
    const onKey = (command: string): Call => {
      const behind = SHORTEST[command]
      return behind === undefined ? [command] : [command, 'KEYS[1]', ...behind]
    }
    const onChannel: readonly Call[] = [
      ['PUBLISH', channel, ''],
      ['SUBSCRIBE', channel],
    ]
    const calls = [...onKeys, ...plain, ...commands.map(onKey), ...onChannel]
    const positions = (await script(shard, { calls: JSON.stringify(calls) })).map(Number)
    const isOnKey = (position: number) => position <= onKeys.length
    const callAt = (place: number) => calls[place - 1] ?? []
    const refusedKeys = positions.filter(isOnKey).map(callAt)
    const refused = positions.filter((place) => !isOnKey(place)).map(callAt)
    const rules = refused.map(ruleOf)
    // Of two commands for one channel, both are refused when it is the channel that is lacking.
    const ofChannel = onChannel.map(ruleOf)
    const isChannelMissing = ofChannel.every((rule) => rules.includes(rule))
    return [
      ...refusedKeys.map(([, , , key = '']) => (key === ofShard.streamPrefix ? streamRule : keyRule(key))),
      ...(isChannelMissing ? [`&${channel}`, ...rules.filter((rule) => !ofChannel.includes(rule))] : rules),
    ]
  }

  return {
    rule: aclRule({ namespace, username, isCluster, hasDatabase: db !== 0 }),
    async check(shard) {
      const refused = await deniedOf(shard).catch(async (error: unknown) => {
        // To be called at all takes rights, too.
        const right = error instanceof SchedulerError && missingPermission((error.cause as Error).message)
        if (!right) throw error
        return right === MISSING_KEYS ? [keyRule('{'), keyRule('')] : [right, ...(await deniedCalls(client))]
      })
      const missing = [...new Set(refused)]
      return {
        required: missing.filter((rule) => !isOptional(rule)),
        // Who gets the right to all keys has that to those of streams.
        optional: missing.filter(
          (rule) => isOptional(rule) && !(rule === streamRule && missing.includes(keyRule('{'))),
        ),
      }
    },
  }
}

/** Which of the two commands that call scripts are refused: then no script can run. */
async function deniedCalls(client: Redis | Cluster): Promise<string[]> {
  const calls = [client.eval('return 1', 0), client.evalsha('0'.repeat(40), 0)]
  const replies = await withTimeout(
    Promise.all(
      calls.map((call) =>
        call.catch((error: Error) => {
          if (error.name !== 'ReplyError') throw error
          return missingPermission(error.message)
        }),
      ),
    ),
  )
  return replies.filter((permission): permission is string => typeof permission === 'string')
}

const plainCalls = (isCluster: boolean, hasDatabase: boolean): readonly Call[] => [
  ...[...PLAIN, ...OPTIONAL],
  ...(isCluster ? OF_A_CLUSTER : []),
  ...(hasDatabase ? [['SELECT', '1']] : []),
]

/** `+zadd`, `+cluster|slots` */
const ruleOf = ([command = '', argument = '']: Call): string =>
  command === 'CLUSTER' ? `+cluster|${argument.toLowerCase()}` : `+${command.toLowerCase()}`

/** The least that a user needs, as a command for Redis. */
export function aclRule({
  namespace,
  username,
  isCluster,
  hasDatabase,
}: {
  namespace: string
  username: string
  isCluster: boolean
  hasDatabase: boolean
}): string {
  const rules = [
    ...[`~{${namespace}:*`, `~${namespace}:*`, `&${wakeChannelOf(namespace)}`],
    ...[...plainCalls(isCluster, hasDatabase).map(ruleOf), '+publish', '+subscribe', ...OF_THE_CLIENT],
    ...commandsOfScripts().map((command) => `+${command.toLowerCase()}`),
  ]
  return `ACL SETUSER ${username} ${rules.join(' ')}`
}
