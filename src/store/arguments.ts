import type { Header } from './header.ts'
import type { Argument, ScriptValues } from './script-values.ts'

/** What a script's TypeScript side gives for the names in the script's header. */
export interface Signature<Name extends string, Item> {
  /** the keys and arguments that each call gives by name */
  readonly args?: readonly Name[]
  /** the values of one item, by name */
  readonly each?: Readonly<Record<string, (item: Item) => Argument>>
  /** whether a call fails when it is not answered within ANSWER_TIMEOUT_MS */
  readonly timed?: boolean
  /**
   * whether the script undoes its writes when Redis refuses one halfway. Its preflight, which checks the same before
   * the first write, is then part of a shard's first call, of one after a failure, and of one every 100 ms: in each
   * call it would take a fifth of a call for one message.
   */
  readonly rollsBack?: boolean
}

/** @returns the list that Redis is called with: keys, arguments, and the values of each item */
export type ArgumentsOf<Name extends string, Item> = (
  shard: number,
  given: Readonly<Record<Name, Argument>>,
  items?: readonly Item[],
) => Argument[]

/**
 * Computes once the order of the arguments that a call gives by name.
 *
 * @param withGuard whether to leave a place for a further key after those of the header
 * @throws Error naming the script when a name of its header has no source or two, or a given name is not in the header
 */
export function argumentsOf<Name extends string, Item>(
  script: string,
  header: Header,
  { args = [], each = {} }: Signature<Name, Item>,
  { ofShard, current }: ScriptValues,
  withGuard: boolean,
): ArgumentsOf<Name, Item> {
  const keys = header.keys.map(({ name }) => name)
  const names = [...keys, ...(withGuard ? [''] : []), ...header.args]
  checkNames(script, { asked: names, given: args, known: { ...ofShard(0), ...current } })
  checkItems(script, header.each, Object.keys(each))
  const given = args.map((name) => [names.indexOf(name), name] as const)
  const read = Object.entries(current)
    .map(([name, readNow]) => [names.indexOf(name), readNow] as const)
    .filter(([at]) => at !== -1)
  const fields = header.each.flatMap((name) => each[name] ?? [])
  const templates = new Map<number, readonly Argument[]>()

  function templateOf(shard: number): readonly Argument[] {
    const values = ofShard(shard)
    const template = names.map((name) => values[name] ?? '')
    templates.set(shard, template)
    return template
  }

  return (shard, values, items = []) => {
    const list = (templates.get(shard) ?? templateOf(shard)).slice()
    for (const [at, readNow] of read) list[at] = readNow(shard)
    for (const [at, name] of given) list[at] = values[name]
    for (const item of items) {
      for (const field of fields) list.push(field(item))
    }
    return list
  }
}

function checkNames(
  script: string,
  { asked, given, known }: { asked: readonly string[]; given: readonly string[]; known: object },
): void {
  for (const name of given) {
    if (!asked.includes(name))
      throw new Error(`${script}.lua is given ${name} that its header does not declare`)
    if (name in known) throw new Error(`${script}.lua is given ${name}, which all scripts are given`)
  }
  for (const name of asked) {
    if (name !== '' && !given.includes(name) && !(name in known))
      throw new Error(`${script}.lua's header names ${name}, which is not given`)
  }
}

function checkItems(script: string, asked: readonly string[], given: readonly string[]): void {
  const wrong = [
    ...asked.filter((name) => !given.includes(name)).map((name) => `names ${name}, which is not given`),
    ...given.filter((name) => !asked.includes(name)).map((name) => `does not name ${name}, which is given`),
  ]
  if (wrong.length > 0) throw new Error(`${script}.lua's header, of its items, ${wrong.join(' and ')}`)
}
