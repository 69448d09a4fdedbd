import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createInterest } from '../../../src/events/interest.ts'

function interestOf(always = false) {
  vi.useFakeTimers({ now: 1_000_000 })
  onTestFinished(() => void vi.useRealTimers())
  return createInterest({ always, now: Date.now })
}

describe('interest in events', () => {
  it('lasts for a minute after a listener was heard of', () => {
    const interest = interestOf()
    expect(interest.isListening).toBe(false)
    interest.heard({ at: 1_000_000, payloadAt: 0 })
    vi.advanceTimersByTime(59_999)
    expect([interest.isListening, interest.hasListeners, interest.wantsPayloads]).toEqual([true, true, false])
    expect(interest.lastHeard()).toEqual({ at: 1_000_000, payloadAt: 0 })
    vi.advanceTimersByTime(1)
    expect([interest.isListening, interest.hasListeners]).toEqual([false, false])
    expect(interest.lastHeard()).toBeUndefined()
  })

  it('is not renewed by what servers tell each other of a listener that has gone', () => {
    const interest = interestOf()
    interest.heard({ at: 1_000_000, payloadAt: 1_000_000 })
    for (let i = 0; i < 12; i += 1) {
      vi.advanceTimersByTime(5_000)
      const heard = interest.lastHeard()
      if (heard !== undefined) interest.heard(heard)
    }
    expect([interest.isListening, interest.wantsPayloads]).toEqual([false, false])
  })

  it('is always there where events are always collected, without listeners', () => {
    const interest = interestOf(true)
    expect([interest.isListening, interest.hasListeners]).toEqual([true, false])
  })
})
