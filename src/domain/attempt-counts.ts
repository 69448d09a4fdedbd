const ATTEMPT_COUNTS = /^(\d{1,15}) (\d{1,15})$/
const NO_ATTEMPT_COUNTS = { failures: 0, recoveries: 0 }

/** Reads "<failures> <recoveries>"; "" and anything else count as neither, as in the scripts. */
export function parseAttemptCounts(attempts: string): { failures: number; recoveries: number } {
  if (attempts === '') return NO_ATTEMPT_COUNTS
  const [, failures = 0, recoveries = 0] = ATTEMPT_COUNTS.exec(attempts) ?? []
  return { failures: Number(failures), recoveries: Number(recoveries) }
}
