import { Cluster, type Redis } from 'ioredis'
import { keyReader, patternsOf } from './key-parts.ts'
import { toSchedulerError } from './redis-errors.ts'

const KEYS_AT_ONCE = 1_000
/** Receivers have seen numbers of claims, readers are in groups of streams, and a pause is no message. */
const STAYS: ReadonlySet<string> = new Set(['claims', 'streams', 'pauses'])

/**
 * Deletes all messages of a namespace, in any state, and the entries of its streams.
 * @throws SchedulerError as toSchedulerError says
 */
export async function deleteMessages(client: Redis | Cluster, namespace: string): Promise<void> {
  const read = keyReader(namespace)
  const deleteKey = async (node: Redis, key: string) => {
    const found = read(key)
    if (found.of !== 'shard' || STAYS.has(found.part)) return
    await (found.part === 'stream' ? node.xtrim(key, 'MAXLEN', 0) : node.del(key))
  }
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  try {
    for (const node of nodes) {
      for (const match of patternsOf(namespace)) {
        for await (const keys of node.scanStream({ match, count: KEYS_AT_ONCE }))
          await Promise.all((keys as string[]).map((key) => deleteKey(node, key)))
      }
    }
  } catch (error) {
    throw toSchedulerError('the flush', error)
  }
}
