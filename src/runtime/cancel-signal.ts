/** How a delivery learns that it is cancelled. An AbortSignal is one, too. */
export interface CancelSignal {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/**
 * A light AbortController with one listener at a time. Every delivery needs one, and AbortControllers, which the
 * garbage collector has to track, cost as much as sending the request.
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
