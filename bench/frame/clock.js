// @ts-check

/** Monotonic ms on a clock that all processes of one machine share, unlike `performance.now()`. */
export const monotonicMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000
