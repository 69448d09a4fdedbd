import { open } from 'node:fs/promises'

const CHUNK_BYTES = 1_048_576
const [CR, LF, STAR, DOLLAR, HASH] = [13, 10, 42, 36, 35]
const LONGEST_LINE_BYTES = 1_024

/**
 * Reads the commands of an append-only file (RESP: `*<count>`, and for each argument `$<bytes>` and the bytes; lines
 * that begin with # are comments), in pieces of any size.
 */
class CommandScan {
  /** where the last whole command ends, or the transaction it belongs to begins */
  wholeBytes = 0
  commands = 0
  isBroken = false
  #at = 0
  #rest: Buffer = Buffer.alloc(0)
  #argumentsLeft = 0
  #isName = false
  #skip = 0
  #commandAt = 0
  #transactionAt: number | undefined

  feed(piece: Buffer): void {
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    for (;;) {
      const used = this.isBroken ? 0 : this.#step(bytes)
      if (used === 0) break
      this.#at += used
      bytes = bytes.subarray(used)
    }
    this.#rest = bytes
  }

  /** where the first command begins that is not whole */
  get stoppedAt(): number {
    return this.#argumentsLeft > 0 ? this.#commandAt : this.#at
  }

  /** @returns how many bytes were read, 0 for none before more have come */
  #step(bytes: Buffer): number {
    if (this.#skip > 0) return this.#skipArgument(bytes)
    const end = bytes.subarray(0, LONGEST_LINE_BYTES).indexOf(LF)
    if (end === -1) {
      if (bytes.length >= LONGEST_LINE_BYTES) this.isBroken = true
      return 0
    }
    const kind = bytes[0]
    if (end === 0 || bytes[end - 1] !== CR) return this.#cancellation()
    if (this.#argumentsLeft === 0 && kind === HASH) {
      if (this.#transactionAt === undefined) this.wholeBytes = this.#at + end + 1
      return end + 1
    }
    const number = numberIn(bytes, 1, end - 1)
    if (number === undefined || kind !== (this.#argumentsLeft === 0 ? STAR : DOLLAR))
      return this.#cancellation()
    if (kind === STAR) {
      if (number === 0) return this.#cancellation()
      this.#commandAt = this.#at
      this.#argumentsLeft = number
      this.#isName = true
    } else this.#skip = number + 2
    return end + 1
  }

  #skipArgument(bytes: Buffer): number {
    // The name is read whole, and so is every line break; the rest is passed over as it comes.
    if (!this.#isName && this.#skip > 2) {
      const used = Math.min(bytes.length, this.#skip - 2)
      this.#skip -= used
      return used
    }
    if (this.#isName && this.#skip > LONGEST_LINE_BYTES) return this.#cancellation()
    if (bytes.length < this.#skip) return 0
    const used = this.#skip
    if (bytes[used - 2] !== CR || bytes[used - 1] !== LF) return this.#cancellation()
    const name = this.#isName ? bytes.toString('latin1', 0, used - 2).toUpperCase() : ''
    if (name === 'MULTI') this.#transactionAt = this.#commandAt
    if (name === 'EXEC') this.#transactionAt = undefined
    this.#isName = false
    this.#skip = 0
    this.#argumentsLeft -= 1
    if (this.#argumentsLeft === 0) {
      this.commands += 1
      this.wholeBytes = this.#transactionAt ?? this.#at + used
    }
    return used
  }

  #cancellation(): 0 {
    this.isBroken = true
    return 0
  }
}

/** A whole number without a sign; undefined for what is none. */
function numberIn(bytes: Buffer, from: number, to: number): number | undefined {
  if (to <= from || to - from > 10) return undefined
  let number = 0
  for (let i = from; i < to; i += 1) {
    const digit = (bytes[i] ?? 0) - 48
    if (digit < 0 || digit > 9) return undefined
    number = number * 10 + digit
  }
  return number
}

export interface CommandFile {
  readonly sizeBytes: number
  /** so many from its beginning are whole commands and whole transactions */
  readonly wholeBytes: number
  /** where the first command begins that is not whole, be it in a transaction or not */
  readonly stoppedAt: number
}

/** Reads a file of commands up to the first that is not whole. */
export async function scanCommands(path: string): Promise<CommandFile> {
  const file = await open(path, 'r')
  try {
    const { size: sizeBytes } = await file.stat()
    const scan = new CommandScan()
    for (let at = 0; at < sizeBytes && !scan.isBroken; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at)
      if (bytesRead === 0) break
      scan.feed(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    return { sizeBytes, wholeBytes: scan.wholeBytes, stoppedAt: scan.stoppedAt }
  } finally {
    await file.close()
  }
}

const COMMAND = /\*[1-9]\d{0,6}\r\n\$\d{1,9}\r\n/g

/** Whether a whole command begins anywhere after the first byte: what comes before it is then no end, but a hole. */
export function findWholeCommand(bytes: Buffer): boolean {
  const text = bytes.toString('latin1')
  for (const { index } of text.slice(1).matchAll(COMMAND)) {
    const scan = new CommandScan()
    scan.feed(bytes.subarray(index + 1))
    if (scan.commands > 0) return true
  }
  return false
}
