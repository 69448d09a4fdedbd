const UNITS = [
  ['day', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** A span of time for people, in its two largest units: "3 days 4 h", "4 min 10 s", "0.2 s". */
export function spanOf(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < 10_000) return `${(whole / 1_000).toFixed(1).replace(/\.0$/, '')} s`
  const first = UNITS.findIndex(([, size]) => whole >= size)
  let left = whole
  const parts = UNITS.slice(first, first + 2).flatMap(([unit, size]) => {
    const count = Math.floor(left / size)
    left -= count * size
    return count === 0 ? [] : [unit === 'day' ? `${count} day${count === 1 ? '' : 's'}` : `${count} ${unit}`]
  })
  return parts.join(' ')
}

/** What waits in a lane is for this. */
export function destinationOf(lane: string): string {
  if (lane === '') return 'the console'
  if (lane === 'stream') return 'streams'
  return lane.startsWith('pull:') ? `queue ${lane.slice('pull:'.length)}` : lane.slice(lane.indexOf(':') + 1)
}
