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
