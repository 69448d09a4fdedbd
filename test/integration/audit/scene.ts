import { keysOf } from '../../../src/store/keys.ts'
import { cancel, claim, deliver, fail, put, reject } from '../../support/acts.ts'
import type { ScriptWorld } from '../../support/script-world.ts'
import { HOUR_MS, pull, webhook } from '../../support/values.ts'

const HOST = 'http://one.test'
const HOST_LANE = `webhook:${HOST}`
const QUEUE_LANE = 'pull:q'

/** Messages in every state and at every destination, by ids that say which. @returns the clock after all of it */
export async function setScene(w: ScriptWorld): Promise<number> {
  const tags = ['t']
  const late = { notAfter: 1, onLate: 'drop' } as const
  await put(w, 'delivered', { options: { tags } })
  await deliver(w)
  await put(w, 'dropped', { options: { ...late, tags } })
  await put(w, 'dead', { options: { tags } })
  await reject(w)
  await put(w, 'retried', { options: { tags } })
  await fail(w, HOUR_MS)
  await put(w, 'claimed', { options: { tags } })
  await claim(w)
  const due = { at: (await w.now()) + HOUR_MS }
  await put(w, 'main', { due, options: { tags } })
  await put(w, 'cancelled', { due, options: { tags } })
  await cancel(w, 'cancelled')
  await put(w, 'hook', { due, options: { tags, destination: webhook(HOST) } })
  await put(w, 'job', { due, options: { tags, destination: pull('q') } })
  await put(w, 'flow', { due, options: { tags, destination: { type: 'stream', name: 's' } } })
  return w.now()
}

/** What somebody may have done to the keys of the scene. */
export interface Damage {
  readonly kind: string
  readonly what: string
  /** whom the finding names */
  readonly name: string
  readonly act: (w: ScriptWorld) => Promise<unknown>
  /** what is to be found after a repair; sound unless given */
  readonly left?: readonly string[]
  /** other findings that the same damage makes */
  readonly besides?: readonly string[]
}

const own = (w: ScriptWorld) => keysOf(w.shard, w.namespace)
const tag = (w: ScriptWorld) => `${w.keys.tagPrefix}t`
const lane = (w: ScriptWorld, name: string) => `${w.keys.scheduled}:${name}`

export const DAMAGES: readonly Damage[] = [
  {
    ...{ kind: 'no-state', what: 'a scheduled message is taken off the schedule', name: 'main' },
    act: (w) => w.client.zrem(w.keys.scheduled, 'main'),
  },
  {
    ...{ kind: 'no-state', what: 'a webhook is taken out of its lane', name: 'hook' },
    act: (w) => w.client.zrem(lane(w, HOST_LANE), 'hook'),
    besides: ['lane-index', 'lane-head'],
  },
  {
    ...{ kind: 'no-state', what: 'a claim is forgotten', name: 'claimed' },
    act: (w) => w.client.zrem(w.keys.claimed, 'claimed'),
    besides: ['lock-without-claim'],
  },
  {
    ...{ kind: 'several-states', what: 'a claimed message is scheduled', name: 'claimed' },
    act: (w) => w.client.zadd(w.keys.scheduled, 9e12, 'claimed'),
  },
  {
    ...{ kind: 'several-states', what: 'a scheduled message is dead', name: 'hook' },
    act: (w) => w.client.zadd(w.keys.dead, 1, 'hook'),
  },
  {
    ...{ kind: 'several-states', what: 'a message is in two lanes', name: 'hook' },
    act: (w) => w.client.zadd(w.keys.scheduled, 9e12, 'hook'),
  },
  {
    ...{ kind: 'no-record', what: 'a scheduled message has no record', name: 'nothing' },
    act: (w) => w.client.zadd(w.keys.scheduled, 9e12, 'nothing'),
  },
  {
    ...{ kind: 'no-record', what: 'a claimed message has no record', name: 'claimed' },
    act: (w) => w.client.hdel(w.keys.messages, 'claimed'),
    besides: ['tag-index'],
  },
  {
    ...{ kind: 'no-record', what: 'a dead letter has no record', name: 'dead' },
    act: (w) => w.client.hdel(w.keys.messages, 'dead'),
    besides: ['orphan'],
  },
  {
    ...{ kind: 'no-record', what: 'a webhook has no record', name: 'hook' },
    act: (w) => w.client.hdel(w.keys.messages, 'hook'),
    besides: ['tag-index'],
  },
  {
    ...{ kind: 'wrong-lane', what: 'a webhook is among those for the console', name: 'hook' },
    async act(w) {
      const score = await w.client.zscore(lane(w, HOST_LANE), 'hook')
      await w.client.zrem(lane(w, HOST_LANE), 'hook')
      await w.client.zadd(w.keys.scheduled, String(score), 'hook')
    },
    besides: ['lane-index', 'lane-head'],
  },
  {
    ...{ kind: 'wrong-lane', what: 'a message for the console is in a queue', name: 'main' },
    async act(w) {
      await w.client.zrem(w.keys.scheduled, 'main')
      await w.client.zadd(lane(w, QUEUE_LANE), 9e12, 'main')
    },
    besides: ['no-state'],
  },
  {
    ...{ kind: 'early', what: 'a message is scheduled before its time', name: 'main' },
    act: (w) => w.client.zadd(w.keys.scheduled, 9e11, 'main'),
    besides: ['tag-index'],
  },
  {
    ...{ kind: 'bad-time', what: 'a message is scheduled for no time', name: 'main' },
    act: (w) => w.client.zadd(w.keys.scheduled, 'inf', 'main'),
    besides: ['tag-index'],
  },
  {
    ...{ kind: 'claim-without-lock', what: 'the lock of a claim is gone', name: 'claimed' },
    act: (w) => w.client.del(`${w.keys.lockPrefix}claimed`),
  },
  {
    ...{ kind: 'lock-without-claim', what: 'a message that is not claimed is locked', name: 'main' },
    act: (w) => w.client.set(`${w.keys.lockPrefix}main`, 'x', 'PX', 600_000),
    left: ['lock-without-claim'],
  },
  {
    ...{ kind: 'finished-and-stored', what: 'a scheduled message has an outcome', name: 'main' },
    async act(w) {
      await w.client.hset(w.keys.history, 'main', 'delivered 5 0 0 0\n1\n"x"')
      await w.client.zadd(w.keys.delivered, 5, 'main')
    },
    left: ['finished-and-stored'],
  },
  {
    ...{ kind: 'unreadable-record', what: 'a record is garbage', name: 'main' },
    act: (w) => w.client.hset(w.keys.messages, 'main', 'garbage'),
    left: ['unreadable-record'],
  },
  {
    ...{ kind: 'unreadable-record', what: 'the options of a record are no JSON', name: 'hook' },
    act: (w) => w.client.hset(w.keys.messages, 'hook', '1{"d":\n"x"'),
    left: ['unreadable-record'],
  },
  {
    ...{ kind: 'unreadable-record', what: 'garbage is stored without a state', name: 'bad' },
    act: (w) => w.client.hset(w.keys.messages, 'bad', 'garbage'),
    besides: ['no-state'],
    left: ['no-state', 'unreadable-record'],
  },
  {
    ...{ kind: 'tag-index', what: 'a message is not listed under its tag', name: 'main' },
    act: (w) => w.client.zrem(tag(w), 'main'),
  },
  {
    ...{ kind: 'tag-index', what: 'a message is listed under its tag at another time', name: 'main' },
    act: (w) => w.client.zadd(tag(w), 7, 'main'),
  },
  {
    ...{ kind: 'tag-index', what: 'a message is listed under a tag that it does not have', name: 'main' },
    act: (w) => w.client.zadd(`${w.keys.tagPrefix}other`, 7, 'main'),
  },
  {
    ...{ kind: 'tag-index', what: 'a message that is gone is listed under a tag', name: 'nobody' },
    act: (w) => w.client.zadd(tag(w), 7, 'nobody'),
  },
  {
    ...{ kind: 'tag-index', what: 'a dead letter is listed under its tag', name: 'dead' },
    act: (w) => w.client.zadd(tag(w), 7, 'dead'),
  },
  {
    ...{ kind: 'lane-index', what: 'a webhook is not in the index of lanes', name: 'hook' },
    act: (w) => w.client.zrem(w.keys.laned, 'hook'),
  },
  {
    ...{ kind: 'lane-index', what: 'a queued message is in the index of lanes at another time', name: 'job' },
    act: (w) => w.client.zadd(w.keys.laned, 7, 'job'),
  },
  {
    ...{ kind: 'lane-index', what: 'a message for the console is in the index of lanes', name: 'main' },
    act: (w) => w.client.zadd(w.keys.laned, 7, 'main'),
  },
  {
    ...{ kind: 'lane-head', what: 'a host is not in the index of hosts', name: HOST_LANE },
    act: (w) => w.client.zrem(w.keys.hosts, HOST_LANE),
  },
  {
    ...{ kind: 'lane-head', what: 'a queue is in the index of queues at another time', name: QUEUE_LANE },
    act: (w) => w.client.zadd(w.keys.queues, 7, QUEUE_LANE),
  },
  {
    ...{ kind: 'lane-head', what: 'a queue that is empty is in the index of queues', name: 'pull:empty' },
    act: (w) => w.client.zadd(w.keys.queues, 7, 'pull:empty'),
  },
  {
    ...{ kind: 'history-index', what: 'a delivered message is not listed', name: 'delivered' },
    act: (w) => w.client.zrem(w.keys.delivered, 'delivered'),
  },
  {
    ...{ kind: 'history-index', what: 'a delivered message is listed as dropped', name: 'delivered' },
    act: (w) => w.client.zadd(w.keys.dropped, 7, 'delivered'),
  },
  {
    ...{ kind: 'history-index', what: 'a listed message has no outcome', name: 'dropped' },
    act: (w) => w.client.hdel(w.keys.history, 'dropped'),
  },
  {
    ...{ kind: 'history-index', what: 'a cancelled message is not listed', name: 'cancelled' },
    act: (w) => w.client.zrem(w.keys.cancelled, 'cancelled'),
  },
  {
    ...{ kind: 'history-index', what: 'a message listed as cancelled has no entry', name: 'cancelled' },
    act: (w) => w.client.hdel(w.keys.cancellations, 'cancelled'),
  },
  {
    ...{ kind: 'unreadable-entry', what: 'the entry of a cancelled message is garbage', name: 'cancelled' },
    act: (w) => w.client.hset(w.keys.cancellations, 'cancelled', 'garbage'),
    left: ['unreadable-entry'],
  },
  {
    ...{ kind: 'orphan', what: 'attempts of nobody are left', name: 'nobody' },
    act: (w) => w.client.hset(w.keys.attempts, 'nobody', '1 0'),
  },
  {
    ...{ kind: 'orphan', what: 'failures of nobody are left', name: 'nobody' },
    act: (w) => w.client.hset(w.keys.failures, 'nobody', 'lock lost'),
  },
  {
    ...{ kind: 'unreadable-entry', what: 'attempts are garbage', name: 'retried' },
    act: (w) => w.client.hset(w.keys.attempts, 'retried', 'many'),
  },
  {
    ...{ kind: 'unreadable-entry', what: 'an outcome is garbage', name: 'delivered' },
    act: (w) => w.client.hset(w.keys.history, 'delivered', 'garbage'),
    left: ['unreadable-entry'],
  },
  {
    ...{ kind: 'counter', what: 'the count of claims is lost', name: 'dead' },
    act: (w) => w.client.del(w.keys.claims),
  },
  {
    ...{ kind: 'stream-unlisted', what: 'the set of streams is lost', name: 'flow' },
    act: (w) => w.client.del(w.keys.streams),
  },
  {
    ...{ kind: 'stream-unlisted', what: 'a stream of no message is there', name: 'strange' },
    act: (w) => w.client.xadd(`${w.keys.streamPrefix}strange`, '*', 'a', 'b'),
  },
  {
    ...{ kind: 'no-expiry', what: 'a lock never ends', name: 'claimed' },
    act: (w) => w.client.persist(`${w.keys.lockPrefix}claimed`),
  },
  {
    ...{ kind: 'no-expiry', what: 'a finished id is known for ever', name: 'delivered' },
    act: (w) => w.client.persist(`${w.keys.seenPrefix}delivered`),
  },
  {
    ...{ kind: 'no-expiry', what: 'the answer of a call is kept for ever', name: 'server:1' },
    act: (w) => w.client.set(`${w.keys.callPrefix}server:1`, '5 -'),
  },
  {
    ...{ kind: 'unreadable-entry', what: 'the count of claims is no number', name: 'claims' },
    act: (w) => w.client.set(w.keys.claims, 'many'),
    besides: ['counter'],
  },
  {
    ...{ kind: 'unknown-key', what: 'a key of nobody is in the namespace', name: 'unknown' },
    act: (w) => w.client.set(own(w).scheduled.replace('scheduled_messages', 'unknown'), 'x'),
    left: ['unknown-key'],
  },
]
