/**
 * `performance.now()` counts from the start of its process; the clock beneath it is the machine's. So a time may be told
 * to another process and stays right there, however long the telling takes.
 */
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** @param ms of `performance.now()` in this process @returns ms of the machine's monotonic clock */
export const toMachineMs = (ms: number): number => ms + offsetMs

/** @param ms of the machine's monotonic clock @returns ms of `performance.now()` in this process */
export const fromMachineMs = (ms: number): number => ms - offsetMs
