/** Every kind of finding, in words. The first part of a line is about one message, the second about keys. */
export const KINDS = {
  'no-state': 'stored, but neither scheduled, claimed nor dead: it would never be delivered',
  'several-states': 'in more than one state at a time',
  'no-record': 'in a state, but without a record: there is nothing to deliver',
  'wrong-lane': 'scheduled in another lane than that of its destination',
  early: 'scheduled before its own due time',
  'bad-time': 'has a score that is no time',
  'claim-without-lock': 'claimed until a time to come, but nobody holds its lock',
  'lock-without-claim': 'locked, but not claimed',
  'finished-and-stored': 'finished, and stored at the same time',
  'unreadable-record': 'has a record that cannot be read',
  'tag-index': 'not listed under its tags as it should be',
  'lane-index': 'not in the index of all lanes as it is in its lane',
  'lane-head': 'a lane whose entry in the index of hosts or queues is not its first due time',
  'history-index': 'not listed as delivered or dropped as the history has it',
  orphan: 'gone, but its attempts or failures are still there',
  'unreadable-entry': 'has an entry that cannot be read',
  counter: 'has a claim number that was not given out yet',
  'stream-unlisted': 'a stream that is not in the set of streams',
  'no-expiry': 'a key that must end by itself and does not',
  'wrong-type': 'a key of another type than it must have',
  'unknown-key': 'a key that belongs to nothing',
  'unknown-shard': 'a shard beyond the recorded number of shards: no server looks into it',
  'shard-counts': 'the number of shards is not recorded, or cannot be read',
  'unreadable-server': 'a server whose entry cannot be read',
  'not-audited': 'could not be looked at',
} as const

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
