/** What a delivery hears of being broken off by; an AbortSignal is one too. */
export interface CancelSignal {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/**
 * What an AbortController is for, with one listener at a time. Every delivery needs one, and AbortControllers, which the
 * garbage collector has to watch, cost as much as sending the request.
 */
export class Cancellation implements CancelSignal {
  aborted = false
  #listener: (() => void) | undefined

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listener = listener
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listener === listener) this.#listener = undefined
  }

  abort(): void {
    if (this.aborted) return
    this.aborted = true
    this.#listener?.()
  }
}
