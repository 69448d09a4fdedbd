import type { Scripts } from '../store/scripts/scripts.ts'
import type { TestTime } from './test-time.ts'

/** Claimers sleep in real time: while the clock is faster, they look this often. */
const LOOK_EVERY_MS = 20

/** What a server does differently while the clock is not as fast as real time. */
export interface Pace {
  /** @returns the scripts of the claimers: locks last as long in real time, as deliveries take that */
  paced(scripts: Scripts): Scripts
  /** The clock has another rate. */
  changed(): void
}

export function keepPace(time: TestTime, wakeAll: () => void): Pace {
  let timer: NodeJS.Timeout | undefined
  const longer = <T extends { readonly lockMs: number }>(args: T): T => ({
    ...args,
    lockMs: Math.ceil(args.lockMs * Math.max(1, time.state.rate)),
  })
  return {
    paced: (scripts) => ({
      ...scripts,
      claim: (shard, args) => scripts.claim(shard, longer(args)),
      claimHosts: (shard, args) => scripts.claimHosts(shard, longer(args)),
      moveToStreams: (shard, args) => scripts.moveToStreams(shard, longer(args)),
      extend: (shard, args) => scripts.extend(shard, longer(args)),
    }),
    changed() {
      clearInterval(timer)
      timer = time.state.rate > 1 ? setInterval(wakeAll, LOOK_EVERY_MS).unref() : undefined
    },
  }
}
