import type { RedisConnection } from './connect.ts'
import { wakeChannelOf } from './keys.ts'

/**
 * Hears what scripts publish when a message became the next one of its shard.
 *
 * @param connection of its own, as a subscribed connection does nothing else
 * @param onWake called with the shard and the ms until that message is due. What is published while this
 *   connection is away is missed; the claim loop's poll makes up for it.
 */
export function listenForWakes(
  connection: RedisConnection,
  namespace: string,
  onWake: (shard: number, inMs: number) => void,
): void {
  const { client } = connection
  const channel = wakeChannelOf(namespace)
  client.on('message', (_channel: string, text: string) => {
    const [shard, inMs] = text.split(' ').map(Number)
    if (Number.isSafeInteger(shard) && Number.isSafeInteger(inMs)) onWake(shard as number, inMs as number)
  })
  // ioredis subscribes again by itself after every reconnection, once the first time succeeded.
  const subscribe = () => {
    client.subscribe(channel).catch(() => undefined)
  }
  connection.onStateChange((state) => {
    if (state === 'ready') subscribe()
  })
  if (connection.isReady()) subscribe()
}
