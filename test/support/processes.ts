import { readdirSync, readFileSync } from 'node:fs'

/** What Linux says of a process: its state and its parent; undefined once it is gone. */
function lookAt(pid: number): { state: string; parent: number } | undefined {
  try {
    // The name before them stands in brackets and may hold anything.
    const [state = '', parent] =
      readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}

/** Whether it still runs; one that has ended and whose parent has not noticed does not. */
export const isRunning = (pid: number): boolean => !['Z', undefined].includes(lookAt(pid)?.state)

/** The running children of a process. */
export const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((child) => child > 0 && lookAt(child)?.parent === pid && isRunning(child))
