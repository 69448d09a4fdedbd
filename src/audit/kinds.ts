interface Kind {
  readonly says: string
  /** what a repair does about it; null if a repair is not safe */
  readonly repair: string | null
}

/** Every kind of finding: those about messages, then those about what is told of them, then those about keys. */
export const KINDS = {
  'no-state': {
    says: 'stored, but neither scheduled, claimed nor dead: it is never delivered',
    repair: 'claimed if its lock is held, else scheduled at its due time',
  },
  'several-states': {
    says: 'in more than one state',
    repair: 'claimed if its lock is held, else scheduled at the latest of its times',
  },
  'no-record': {
    says: 'in a state, but has no record: nothing can be delivered',
    repair: 'removed from that state',
  },
  'wrong-lane': {
    says: "scheduled in a lane that is not its destination's",
    repair: 'moved to its lane; its time stays',
  },
  early: { says: 'scheduled before its due time', repair: 'scheduled at its due time' },
  'bad-time': { says: 'has a score that is not a time', repair: 'scheduled at its due time' },
  'claim-without-lock': {
    says: 'claimed until a future time, but its lock is not held',
    repair: 'scheduled at its due time, counted as a recovery',
  },
  'lock-without-claim': {
    says: 'locked, but not claimed',
    repair: 'unlocked if there is no message; else the lock expires',
  },
  'finished-and-stored': { says: 'finished, but still stored', repair: null },
  'unreadable-record': { says: 'has a record that cannot be read', repair: null },
  'tag-index': {
    says: 'its entries under its tags differ from its record',
    repair: 'its entries are corrected',
  },
  'lane-index': {
    says: 'differs between its lane and the index of all lanes',
    repair: 'the index is corrected',
  },
  'lane-head': {
    says: 'a lane whose entry in the index of hosts or queues is not its earliest due time',
    repair: 'the index is corrected',
  },
  'history-index': {
    says: 'differs between the history and the lists of delivered, dropped and cancelled messages',
    repair: 'the lists are corrected',
  },
  orphan: { says: 'removed, but its attempts or failures are still stored', repair: 'removed' },
  'unreadable-entry': {
    says: 'has an entry that cannot be read',
    repair: 'unreadable attempts and failures are removed; other entries stay',
  },
  counter: { says: 'has a claim number above the counter of its shard', repair: 'the counter is raised' },
  'stream-unlisted': { says: 'a stream that is not in the set of streams', repair: 'listed' },
  'no-expiry': { says: 'a key that must have an expiry and has none', repair: 'an expiry is set' },
  'wrong-type': { says: 'a key of the wrong type', repair: null },
  'unknown-key': { says: 'a key that Carillon does not know', repair: null },
  'unknown-shard': {
    says: 'a shard beyond the recorded number of shards: no server claims from it',
    repair: null,
  },
  'shard-counts': { says: 'the number of shards is not recorded, or cannot be read', repair: null },
  'unreadable-server': { says: 'a server whose entry cannot be read', repair: null },
  'not-audited': { says: 'could not be audited', repair: null },
} as const satisfies Readonly<Record<string, Kind>>

export type FindingKind = keyof typeof KINDS

export const isKind = (kind: string): kind is FindingKind => Object.hasOwn(KINDS, kind)

/** Something that does not hold of a namespace. */
export interface Finding {
  readonly kind: FindingKind
  /** null where it is about none */
  readonly shard: number | null
  /** the message, or the key */
  readonly name: string
  readonly detail: string
}
