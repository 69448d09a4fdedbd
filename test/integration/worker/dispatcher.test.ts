import { pino } from 'pino'
import { describe, expect, inject, it } from 'vitest'
import type { Delivery, Outcome } from '../../../src/destinations/delivery.ts'
import type { CancelSignal } from '../../../src/runtime/cancel-signal.ts'
import { createDispatcher } from '../../../src/worker/dispatcher.ts'
import { createLockKeeper } from '../../../src/worker/lock-keeper.ts'
import { SettleQueue } from '../../../src/worker/settle-queue.ts'
import { createSlots } from '../../../src/worker/slots.ts'
import { claimAll } from '../../support/claim-all.ts'
import { DELIVERED, webhookEntry } from '../../support/claiming.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { mainRoom } from '../../support/retention.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { UNTOLD } from '../../support/untold.ts'

const LOCK_MS = 60_000
const world = useScripts(() => inject('redisUrl'))

async function claim(w: ScriptWorld, count: number): Promise<Delivery[]> {
  const due = (await w.now()) - 50
  await w.scripts.schedule(
    0,
    Array.from({ length: count }, (_, i) => webhookEntry(`m${i}`, due)),
  )
  const room = { ...mainRoom(0), slots: count, hostSlots: count }
  const { claims } = await claimAll(w.scripts, 0, { token: 't', lockMs: LOCK_MS, room })
  return claims.map(
    ({ id, number, attemptDueAt }): Delivery => ({
      ...{ id, shard: 0, token: 't', claim: number, dueAt: due, attemptDueAt, lateMs: 50, attempt: 1 },
      payload: '1',
      destination: { type: 'webhook', url: 'https://one.test/hook' },
      lane: 'webhook:https://one.test',
    }),
  )
}

function dispatcherOn(w: ScriptWorld, send: (delivery: Delivery, signal: CancelSignal) => Promise<Outcome>) {
  const logger = pino({ level: 'silent' })
  const noted = noteMetrics()
  const { metrics } = noted
  const ending = new AbortController()
  const sent: string[] = []
  const slots = createSlots({ total: 10, perHost: 5, onFree: () => undefined })
  const dispatcher = createDispatcher(
    {
      sender: {
        send(delivery, signal, onReleased = () => {}) {
          sent.push(delivery.id)
          return send(delivery, signal).finally(onReleased)
        },
        close: async () => undefined,
      },
      slots,
      lockKeeper: createLockKeeper({ scripts: w.scripts, lockMs: LOCK_MS, logger, metrics }),
      settleQueue: new SettleQueue({ ...UNTOLD, scripts: w.scripts, logger, metrics }, ending.signal),
      metrics,
    },
    ending.signal,
  )
  const busy = () => 10 - slots.room().slots
  return { dispatcher, sent, noted, ending, busy }
}

const inTime = () => [performance.now() + LOCK_MS / 2, performance.now() + LOCK_MS] as const
const broken = (signal: CancelSignal) =>
  new Promise<Outcome>((resolve) => {
    signal.addEventListener('abort', () => resolve({ kind: 'returned' }))
  })

describe('a dispatched delivery', () => {
  it('takes its slot at once, and is settled when it has ended', async () => {
    const w = world()
    let end = (_outcome: Outcome) => {}
    const { dispatcher, sent, noted, busy } = dispatcherOn(
      w,
      () =>
        new Promise((resolve) => {
          end = resolve
        }),
    )
    const [delivery] = await claim(w, 1)
    if (delivery === undefined) throw new Error('nothing was claimed')
    dispatcher.dispatch(delivery, ...inTime())
    expect([sent, busy()]).toEqual([['m0'], 1])
    let isIdle = false
    const idle = dispatcher.idle().then(() => {
      isIdle = true
    })
    expect(await w.client.zcard(w.keys.claimed)).toBe(1)
    expect(isIdle).toBe(false)
    end(DELIVERED)
    await idle
    expect([busy(), noted.lateMs('webhook')]).toEqual([0, [50]])
    expect(await w.snapshot()).toBe('[[],[],{},{}]')
    await dispatcher.idle()
  })

  it('is returned unsent if its lock has too little time left', async () => {
    const w = world()
    const { dispatcher, sent, noted, busy } = dispatcherOn(w, async () => DELIVERED)
    const deliveries = await claim(w, 2)
    const before = await w.client.hgetall(w.keys.messages)
    for (const delivery of deliveries) {
      dispatcher.dispatch(delivery, performance.now() - 1, performance.now() + LOCK_MS)
    }
    await dispatcher.idle()
    expect([sent, busy(), noted.lateMs('webhook')]).toEqual([[], 0, []])
    expect(await w.client.hgetall(w.keys.messages)).toEqual(before)
    expect(await w.client.zcard(w.keys.laned)).toBe(2)
    expect(await w.client.exists(w.keys.attempts, w.keys.claimed)).toBe(0)
  })

  it('is cancelled when the service ends, and later ones are not started', async () => {
    const w = world()
    const { dispatcher, sent, ending } = dispatcherOn(w, (_delivery, signal) => broken(signal))
    const [a, b, c] = await claim(w, 3)
    if (a === undefined || b === undefined || c === undefined) throw new Error('too little was claimed')
    dispatcher.dispatch(a, ...inTime())
    dispatcher.dispatch(b, ...inTime())
    ending.abort()
    dispatcher.dispatch(c, ...inTime())
    await dispatcher.idle()
    expect(sent).toEqual([a.id, b.id])
    expect(await w.client.zcard(w.keys.laned)).toBe(3)
    expect(await w.client.exists(w.keys.attempts, w.keys.claimed)).toBe(0)
  })
})
