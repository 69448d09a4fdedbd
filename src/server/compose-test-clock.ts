import { createActs } from '../clock/acts.ts'
import { createClockFollower } from '../clock/follower.ts'
import { createOutcomeNotes } from '../clock/outcomes.ts'
import { keepPace } from '../clock/pace.ts'
import { createSettled } from '../clock/settled.ts'
import { createTestClock } from '../clock/test-clock.ts'
import { LAST_MS } from '../domain/message.ts'
import type { EventSink } from '../events/sink.ts'
import type { RedisLeases } from '../leases/leases.ts'
import type { Membership } from '../membership/membership.ts'
import { totals } from '../messages/overview.ts'
import { toIso } from '../runtime/iso-time.ts'
import { deleteMessages } from '../store/flush.ts'
import type { ScriptsOptions } from '../store/script-values.ts'
import { membershipScripts } from '../store/scripts/membership.ts'
import { createScripts } from '../store/scripts/scripts.ts'
import { createRaiseShards } from '../store/scripts/shard-counts.ts'
import { createClockStore } from '../store/scripts/test-clock.ts'
import type { Claimers } from '../worker/claimers.ts'
import type { Foundations } from './parts.ts'

export interface TestClockParts extends Foundations {
  readonly serverId: string
  readonly scriptsOptions: ScriptsOptions
}

/** What a test clock acts on; made after it. */
interface Servants {
  readonly membership: Membership
  readonly claimers: Claimers
  readonly leases: RedisLeases
  readonly events: EventSink
}

/** Puts the test clock of one server together. @returns undefined without TEST_CLOCK */
export function composeTestClock(parts: TestClockParts) {
  const { connection, config, testTime: time, shardMap, serverId, scriptsOptions } = parts
  if (time === undefined) return undefined
  const { client } = connection
  const store = createClockStore(client, scriptsOptions)
  const notes = createOutcomeNotes({
    ...{ store, time, serverId },
    scripts: createScripts(client, scriptsOptions),
  })
  // Servers live in real time.
  const { heartbeat } = membershipScripts(client, { namespace: config.NAMESPACE })
  const scripts = { ...notes.scripts, heartbeat }
  let servants: Servants | undefined
  const pace = keepPace(time, () => servants?.claimers.wakeAll())
  parts.logger.warn('TEST_CLOCK is set: tests can set the time of this namespace')
  const holdsMessages = async () => {
    const { scheduled, claimed, dead, stranded } = await totals(scripts, shardMap.all)
    return scheduled + claimed + dead + stranded > 0
  }
  const follower = createClockFollower({
    ...{ store, time, serverId, holdsMessages, noted: notes.noted },
    onChange({ resume }) {
      pace.changed()
      servants?.leases.wakeAll()
      // An advance wakes claimers where something is due.
      if (resume === null) servants?.claimers.wakeAll()
    },
  })
  const settled = createSettled({
    ...{ store, onSettled: notes.onSettled },
    shards: () => shardMap.all,
    members: async () => ((await servants?.membership.servers()) ?? []).map(({ id }) => id),
    wakeAll: () => servants?.claimers.wakeAll(),
  })
  const runAct = createActs({
    ...{ store, time, serverId, settled, hear: follower.hear, noted: notes.noted },
    wake: (shard, inMs, lane) => servants?.claimers.wake(shard, inMs, lane),
  })
  const testClock = createTestClock({
    ...{ store, time, settled, runAct, holdsMessages },
    deleteMessages: () => deleteMessages(client, config.NAMESPACE),
    onActEnd({ now, mode, offsetMs }) {
      if (servants?.events.isListening) servants.events.emit('clock', { now: toIso(now), mode, offsetMs })
    },
  })
  const raise = createRaiseShards(client, scriptsOptions)
  return {
    // The time of the clock leaps: what is known of the number of shards stays valid until the next look.
    raiseShards: async (count: number) => ({ ...(await raise(count)), now: LAST_MS }),
    ...{ testClock, follower, scripts, paced: pace.paced },
    connect(made: Servants) {
      servants = made
    },
  }
}
