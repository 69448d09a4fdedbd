interface Kind {
  readonly says: string
  /** what a repair does about it; null where mending is not safe, and it is left to people */
  readonly repair: string | null
}

/** Every kind of finding: those about messages, then those about what is told of them, then those about keys. */
export const KINDS = {
  'no-state': {
    says: 'stored, but neither scheduled, claimed nor dead: it would never be delivered',
    repair: 'scheduled at its own time, or claimed where somebody holds its lock',
  },
  'several-states': {
    says: 'in more than one state at a time',
    repair: 'claimed where somebody holds its lock, else scheduled at the latest time',
  },
  'no-record': {
    says: 'in a state, but without a record: there is nothing to deliver',
    repair: 'taken out of that state',
  },
  'wrong-lane': {
    says: 'scheduled in another lane than that of its destination',
    repair: 'moved to its lane, at the same time',
  },
  early: { says: 'scheduled before its own due time', repair: 'scheduled at its own time' },
  'bad-time': { says: 'has a score that is no time', repair: 'scheduled at its own time' },
  'claim-without-lock': {
    says: 'claimed until a time to come, but nobody holds its lock',
    repair: 'scheduled at its own time, counted as recovered',
  },
  'lock-without-claim': {
    says: 'locked, but not claimed',
    repair: 'unlocked where there is no message, else left to end',
  },
  'finished-and-stored': { says: 'finished, and stored at the same time', repair: null },
  'unreadable-record': { says: 'has a record that cannot be read', repair: null },
  'tag-index': { says: 'not listed under its tags as it should be', repair: 'listed as its record says' },
  'lane-index': {
    says: 'not in the index of all lanes as it is in its lane',
    repair: 'indexed as its lane says',
  },
  'lane-head': {
    says: 'a lane whose entry in the index of hosts or queues is not its first due time',
    repair: 'indexed as the lane says',
  },
  'history-index': {
    says: 'not listed as delivered or dropped as the history has it',
    repair: 'listed as the history says',
  },
  orphan: { says: 'gone, but its attempts or failures are still there', repair: 'removed' },
  'unreadable-entry': {
    says: 'has an entry that cannot be read',
    repair: 'attempts and failures are removed, others left',
  },
  counter: { says: 'has a claim number that was not given out yet', repair: 'counted on from there' },
  'stream-unlisted': { says: 'a stream that is not in the set of streams', repair: 'listed' },
  'no-expiry': { says: 'a key that must end by itself and does not', repair: 'given an end' },
  'wrong-type': { says: 'a key of another type than it must have', repair: null },
  'unknown-key': { says: 'a key that belongs to nothing', repair: null },
  'unknown-shard': {
    says: 'a shard beyond the recorded number of shards: no server looks into it',
    repair: null,
  },
  'shard-counts': { says: 'the number of shards is not recorded, or cannot be read', repair: null },
  'unreadable-server': { says: 'a server whose entry cannot be read', repair: null },
  'not-audited': { says: 'could not be looked at', repair: null },
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
