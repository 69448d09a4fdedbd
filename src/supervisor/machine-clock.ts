/**
 * `performance.now()` counts from the start of its process, on the machine's clock. A time on that clock can be sent to
 * another process and stays valid.
 */
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** @param ms of `performance.now()` in this process @returns ms of the machine's monotonic clock */
export const toMachineMs = (ms: number): number => ms + offsetMs

/** @param ms of the machine's monotonic clock @returns ms of `performance.now()` in this process */
export const fromMachineMs = (ms: number): number => ms - offsetMs
