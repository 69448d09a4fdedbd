import { readdirSync, readFileSync } from 'node:fs'

/** The state and the parent of a process, on Linux; undefined once it has ended. */
function lookAt(pid: number): { state: string; parent: number } | undefined {
  try {
    // The name before them is in brackets and may contain any character.
    const [state = '', parent] =
      readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}

/** Whether a process runs. A zombie does not. */
export const isRunning = (pid: number): boolean => !['Z', undefined].includes(lookAt(pid)?.state)

/** The running children of a process. */
export const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((child) => child > 0 && lookAt(child)?.parent === pid && isRunning(child))
