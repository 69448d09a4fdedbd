/**
 * What stands behind the key in the shortest call of each command that scripts make on a key: enough for Redis to check
 * the right to it. With commands that take many keys nothing may, as it would be one more.
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
  ZADD: ['1', 'm'],
  ZCARD: [],
  ZCOUNT: ['0', '1'],
  ZRANGE: ['0', '1'],
  ZREM: ['m'],
  ZREMRANGEBYRANK: ['0', '1'],
  ZSCAN: ['0'],
  ZSCORE: ['m'],
}

/** Commands that what only reads never calls, though a file it includes may. */
const WRITES: ReadonlySet<string> = new Set(
  'DEL HDEL HSET PEXPIRE SADD SET XADD ZADD ZREM ZREMRANGEBYRANK'.split(' '),
)
/** Commands without a key. */
const WITHOUT_KEY: ReadonlySet<string> = new Set(['TIME'])

/** How a key of each type is looked at, at the same cost however large it is; Redis refuses where it holds another type. */
const LOOK_AT: Readonly<Record<string, string>> = {
  zset: 'ZCARD',
  hash: 'HLEN',
  set: 'SCARD',
  string: 'STRLEN',
}

export interface Preflight {
  /** one line of Lua */
  readonly lua: string
  /** the commands it takes to run the script, in capitals, the preflight included */
  readonly commands: readonly string[]
}

/**
 * Makes what a script begins with where its caller wants to be sure: whatever Redis could refuse half-way is refused
 * before anything is written. A call that fails has then stored nothing, and no message falls between two keys.
 *
 * Scripts that only drain, and so go on when Redis is out of memory, do without the right to publish: whoever is not
 * told looks a second later.
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
  // The second form is that of a choice: redis.call(x and "HSET" or "ZADD", ...).
  const calls = code.matchAll(/redis\.call\((?:[^",()]*(?:"\w+")? and )?"([A-Z]+)"(?: or "([A-Z]+)")?/g)
  const called = [...calls].flatMap(([, one, other]) => [one, other].filter((each) => each !== undefined))
  // What only reads does nothing by half, and asks for its rights only so as to tell which it lacks.
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
