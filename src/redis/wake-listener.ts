import type { RedisConnection } from './connect.ts'
import { wakeChannelOf } from './keys.ts'

/**
 * Hears what scripts publish when a message became the first one of its lane in its shard.
 *
 * @param connection of its own, as a subscribed connection does nothing else
 * @param onWake called with the shard, the ms until that message is due, and its lane. What is published while this
 *   connection is away is missed.
 * @param onGap called when it hears anew, and may have missed something
 */
export function listenForWakes(
  connection: RedisConnection,
  namespace: string,
  onWake: (shard: number, inMs: number, lane: string) => void,
  onGap: () => void,
): void {
  const { client } = connection
  const channel = wakeChannelOf(namespace)
  client.on('message', (_channel: string, text: string) => {
    const match = /^(\d+) (\d+) (.*)$/.exec(text)
    if (match !== null) onWake(Number(match[1]), Number(match[2]), match[3] ?? '')
  })
  // ioredis subscribes again by itself after every reconnection, once the first time succeeded.
  const subscribe = () => {
    client.subscribe(channel).then(onGap, () => undefined)
  }
  connection.onStateChange((state) => {
    if (state === 'ready') subscribe()
  })
  if (connection.isReady()) subscribe()
}
