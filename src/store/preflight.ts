/**
 * The arguments after the key in the shortest call of each command that scripts make: enough for Redis to check the
 * permission. Commands with several keys have none, as an argument would be one more key.
 */
export const SHORTEST: Readonly<Record<string, readonly string[]>> = {
  DEL: [],
  EXISTS: [],
  GET: [],
  HDEL: ['f'],
  HEXISTS: ['f'],
  HGET: ['f'],
  HGETALL: [],
  HKEYS: [],
  HLEN: [],
  HMGET: ['f'],
  HSCAN: ['0'],
  HSET: ['f', 'v'],
  MGET: [],
  PEXPIRE: ['1'],
  PTTL: [],
  SADD: ['m'],
  SCARD: [],
  SET: ['v'],
  SISMEMBER: ['m'],
  SMEMBERS: [],
  STRLEN: [],
  TYPE: [],
  XADD: ['*', 'f', 'v'],
  XLEN: [],
  XRANGE: ['-', '+'],
  XREVRANGE: ['+', '-'],
  XTRIM: ['MAXLEN', '0'],
  ZADD: ['1', 'm'],
  ZCARD: [],
  ZCOUNT: ['0', '1'],
  ZRANGE: ['0', '1'],
  ZREM: ['m'],
  ZREMRANGEBYRANK: ['0', '1'],
  ZSCAN: ['0'],
  ZSCORE: ['m'],
}

/** Commands that a read-only script never calls, though a file that it includes may. */
const WRITES: ReadonlySet<string> = new Set(
  'DEL HDEL HSET PEXPIRE SADD SET XADD XTRIM ZADD ZREM ZREMRANGEBYRANK'.split(' '),
)
/** Commands without a key. */
const WITHOUT_KEY: ReadonlySet<string> = new Set(['TIME'])

/** A cheap read of a key of each type, at the same cost for any size. Redis rejects it if the type is wrong. */
const LOOK_AT: Readonly<Record<string, string>> = {
  zset: 'ZCARD',
  hash: 'HLEN',
  set: 'SCARD',
  string: 'STRLEN',
  stream: 'XLEN',
}

export interface Preflight {
  /** one line of Lua */
  readonly lua: string
  /** the commands that the script runs, in capitals, including those of the preflight */
  readonly commands: readonly string[]
}

/**
 * Makes a script's preflight: it provokes everything that Redis could refuse halfway before anything is written. So a
 * failed call has stored nothing, and no message is lost between two keys.
 *
 * Scripts that only drain must run when Redis is out of memory, and need no permission to publish: a server that is not
 * woken checks a second later.
 *
 * @param code the script with its includes, without comments
 * @param keyTypes of its keys, in order
 * @param channelAt which ARGV is the channel it publishes on
 * @throws Error naming what this file does not know
 */
export function preflight(
  code: string,
  { keyTypes, channelAt }: { keyTypes: readonly string[]; channelAt: number | undefined },
): Preflight {
  const [firstLine = ''] = code.split('\n', 1)
  // The second form is a choice: redis.call(x and "HSET" or "ZADD", ...).
  const calls = code.matchAll(/redis\.call\((?:[^",()]*(?:"\w+")? and )?"([A-Z]+)"(?: or "([A-Z]+)")?/g)
  const called = [...calls].flatMap(([, one, other]) => [one, other].filter((each) => each !== undefined))
  // A read-only script cannot stop halfway. It checks its permissions only to name the missing one.
  const onlyReads = firstLine.includes('no-writes')
  const looks = (onlyReads ? [] : keyTypes).map((type) => {
    const look = LOOK_AT[type]
    if (look === undefined) throw new Error(`unknown type of a key: ${JSON.stringify(type)}`)
    return look
  })
  const commands = [...new Set([...called, ...looks])]
    .filter((command) => !(onlyReads && WRITES.has(command)))
    .sort()
  const rights = commands.map((command) => {
    if (WITHOUT_KEY.has(command)) return refuseWithout(command, [])
    const behind = SHORTEST[command]
    if (behind === undefined) throw new Error(`the shortest call of ${command} is unknown`)
    return refuseWithout(command, ['KEYS[1]', ...behind.map((each) => `"${each}"`)])
  })
  if (channelAt !== undefined && !firstLine.includes('allow-oom'))
    rights.push(refuseWithout('PUBLISH', [`ARGV[${channelAt}]`, '""']))
  const reads = looks.map((look, i) => `redis.call("${look}", KEYS[${i + 1}])`)
  return { lua: [...rights, ...reads].join('; '), commands }
}

const refuseWithout = (command: string, args: readonly string[]): string =>
  `if not redis.acl_check_cmd(${[`"${command}"`, ...args].join(', ')}) then ` +
  `return redis.error_reply("NOPERM +${command.toLowerCase()}") end`
