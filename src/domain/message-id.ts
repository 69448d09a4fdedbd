import { fnv1a } from './fnv1a.ts'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const TIME_DIGITS = 7
const COUNTER_DIGITS = 4
const COUNTERS = DIGITS.length ** COUNTER_DIGITS

function toDigits(value: number, width: number): string {
  let digits = ''
  let rest = value
  for (let i = 0; i < width; i += 1) {
    digits = DIGITS.charAt(rest % DIGITS.length) + digits
    rest = Math.floor(rest / DIGITS.length)
  }
  return digits
}

/** Makes the ids of messages whose client gave none. */
export interface IdMaker {
  /** @param shard where the message will live @param createdAt Redis's clock, epoch ms */
  next(shard: number, createdAt: number): string
}

/**
 * Ids of server-made messages: `~`, the shard in decimal, seven characters of creation time and four of
 * a counter, base 62 in ASCII order, so that among equals they sort by age. Fourteen characters or fewer
 * below shard 100 fit Redis's 16-byte allocations, where one more would cost 32 bytes a message.
 *
 * Two servers may make the same id only in the same millisecond; `schedule` notices and a new one is made.
 */
export function createIdMaker(): IdMaker {
  let counter = Math.floor(Math.random() * COUNTERS)
  let lastTime = -1
  let timeDigits = ''
  return {
    next(shard, createdAt) {
      if (createdAt !== lastTime) {
        lastTime = createdAt
        timeDigits = toDigits(createdAt, TIME_DIGITS)
      }
      counter = (counter + 1) % COUNTERS
      return `~${shard}${timeDigits}${toDigits(counter, COUNTER_DIGITS)}`
    },
  }
}

const SERVER_MADE_ID = new RegExp(
  `^~(0|[1-9]\\d{0,3})([0-9A-Za-z]{${TIME_DIGITS}})[0-9A-Za-z]{${COUNTER_DIGITS}}$`,
)

/** Reads what a server-made id tells. @returns undefined when it is none */
export function parseServerMadeId(id: string): { shard: number; createdAt: number } | undefined {
  const match = SERVER_MADE_ID.exec(id)
  if (match === null) return undefined
  const [, shard, digits = ''] = match
  let createdAt = 0
  for (const digit of digits) createdAt = createdAt * DIGITS.length + DIGITS.indexOf(digit)
  return { shard: Number(shard), createdAt }
}

/** The shard of a client-made id: FNV-1a over its characters, which are ASCII. */
export function shardOfClientId(id: string, shards: number): number {
  return fnv1a(id) % shards
}
