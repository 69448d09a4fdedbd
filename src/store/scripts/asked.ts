import type { Cluster, Redis } from 'ioredis'
import { namespaceDefine } from '../define-script.ts'
import { numberOrNull } from '../replies.ts'
import type { ScriptsOptions } from '../script-values.ts'

/** Each rejects with a SchedulerError as toSchedulerError says. */
export interface AskedScripts {
  /** Notes that workers ask these queues for messages now. @see lua/service/note-asked.lua */
  noteAsked(queues: readonly string[]): Promise<void>
  /** @returns when each queue was last asked, epoch ms; null for never @see lua/service/last-asked.lua */
  lastAsked(queues: readonly string[]): Promise<(number | null)[]>
}

export function askedScripts(
  client: Redis | Cluster,
  options: Pick<ScriptsOptions, 'namespace' | 'clockOffsetMs'>,
): AskedScripts {
  const define = namespaceDefine(client, options)
  const each = { queue: (queue: string) => queue }
  const note = define('note-asked', { each, timed: true })
  const last = define('last-asked', { each, timed: true })
  return {
    async noteAsked(queues) {
      await note(0, {}, queues)
    },
    lastAsked: async (queues) => (await last(0, {}, queues)).map(numberOrNull),
  }
}
