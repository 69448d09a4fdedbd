/** npm passes on a terminal's Ctrl-C that the process has had already: the same signal this soon is one. */
const SAME_KEYSTROKE_MS = 100

/** The first SIGTERM or SIGINT is passed on, for a stop in order; a second one ends the process at once. */
export function trapSignals(underNpm: boolean, onFirst: (signal: NodeJS.Signals) => void): void {
  let first: { signal: NodeJS.Signals; at: number } | undefined
  const trap = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = { signal, at: performance.now() }
      onFirst(signal)
      return
    }
    const isEcho = underNpm && signal === first.signal && performance.now() - first.at < SAME_KEYSTROKE_MS
    if (!isEcho) process.exit(1)
  }
  process.on('SIGTERM', trap)
  process.on('SIGINT', trap)
}
