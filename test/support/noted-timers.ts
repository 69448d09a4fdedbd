import { onTestFinished, vi } from 'vitest'

const LONG_MS = 700

/** Records timers of about a second or more from now on. @returns a function that counts the active ones */
export function noteTimers(): () => number {
  const running = new Set<unknown>()
  const {
    setTimeout: setOne,
    setInterval: setMany,
    clearTimeout: clearOne,
    clearInterval: clearMany,
  } = globalThis
  const note = (timer: NodeJS.Timeout, ms: unknown) => {
    if (Number(ms) >= LONG_MS) running.add(timer)
    return timer
  }
  const forget = (timer: unknown) => void running.delete(timer)
  const spies = [
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((callback: () => void, ms?: number) => {
      const timer = setOne(() => {
        forget(timer)
        callback()
      }, ms)
      return note(timer, ms)
    }) as typeof setTimeout),
    vi
      .spyOn(globalThis, 'setInterval')
      .mockImplementation(((callback: () => void, ms?: number) =>
        note(setMany(callback, ms), ms)) as typeof setInterval),
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
      forget(timer)
      clearOne(timer)
    }),
    vi.spyOn(globalThis, 'clearInterval').mockImplementation((timer) => {
      forget(timer)
      clearMany(timer)
    }),
  ]
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore()
  })
  return () => running.size
}
