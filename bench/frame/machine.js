// @ts-check
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'

/** What a figure is worth nothing without. */
export function describeMachine() {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? '?',
    cores: all.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
    load: Number(loadavg()[0]?.toFixed(2)),
    at: new Date().toISOString(),
  }
}

/** ms that all cores together have been busy, whoever it was for. */
export function busyMs() {
  let busy = 0
  for (const { times } of cpus()) busy += times.user + times.nice + times.sys + times.irq
  return busy
}

/** @param {ReturnType<typeof describeMachine>} machine */
export const machineText = ({ cpu, cores, memoryGib, system }) =>
  `${cores} cores of ${cpu}, ${memoryGib} GiB, ${system}`
