import { describe, expect, it } from 'vitest'
import { startFleet } from '../../support/fleet.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'
import {
  ALLOWED,
  AT_ONCE,
  attemptsOf,
  expectGrowingClaims,
  holding,
  lookUp,
  SHORT_LOCKS,
  scheduleWebhook,
  untilIs,
} from '../../support/webhook-messages.ts'

describe('a server that dies while it delivers', () => {
  it('leaves the message to another, which says so, and uses none of its retries', async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const fleet = await startFleet({ size: 1, env: SHORT_LOCKS })
    const [victim] = fleet.servers as [Service]
    await scheduleWebhook(victim, receiver.url, { id: 'left', retry: { attempts: 1 } })
    await until('it is sent', () => held.length === 1)
    const heir = await fleet.add()
    await victim.end('SIGKILL')
    await until('it is sent again', () => held.length === 2)
    held[1]?.end()
    expect(await untilIs(heir, 'left', { status: 'delivered' })).toMatchObject({
      attempts: 0,
      recoveries: 1,
      reason: 'lock lost',
    })
    expect(attemptsOf(receiver.requests)).toEqual([1, 2])
    expectGrowingClaims(receiver.requests)
  })

  it('each time ends as a dead letter after MAX_RECOVERIES, and nothing else is held up', async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const healthy = await openReceiver(answerWith(204))
    const fleet = await startFleet({ size: 0, env: { ...SHORT_LOCKS, MAX_RECOVERIES: '1' } })
    for (const time of [1, 2]) {
      const victim = await fleet.add()
      if (time === 1) await scheduleWebhook(victim, receiver.url, { id: 'killer' })
      await until('it is sent', () => held.length === time)
      await victim.end('SIGKILL')
    }
    const survivor = await fleet.add()
    expect(await untilIs(survivor, 'killer', { status: 'dead' })).toMatchObject({
      attempts: 0,
      recoveries: 1,
      reason: 'recoveries',
    })
    await scheduleWebhook(survivor, healthy.url, { id: 'bystander' })
    await untilIs(survivor, 'bystander', { status: 'delivered' })
    expect(attemptsOf(receiver.requests)).toEqual([1, 2])
    expect(survivor.hasEnded()).toBe(false)
  })
})

describe('a server that was stopped for longer than its locks last', () => {
  it('does not acknowledge what it was delivering, as that is another server’s by then', async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const fleet = await startFleet({ size: 1, env: SHORT_LOCKS })
    const [stopped] = fleet.servers as [Service]
    await scheduleWebhook(stopped, receiver.url, { id: 'twin', retry: AT_ONCE })
    await until('it is sent', () => held.length === 1)
    stopped.signal('SIGSTOP')
    const other = await fleet.add()
    await until('the other sends it', () => held.length === 2)
    // The first thing it finds when it goes on is that its delivery went well.
    held[0]?.end()
    stopped.signal('SIGCONT')
    await until('it has noticed', () =>
      stopped.log.some(({ msg }) => /the claim was lost|^locks /.test(String(msg))),
    )
    expect(await lookUp(other, 'twin')).toMatchObject({ status: 'claimed', recoveries: 1 })

    held[1]?.writeHead(503).end()
    await until('it is sent once more', () => held.length === 3)
    held[2]?.end()
    expect(await untilIs(other, 'twin', { status: 'delivered' })).toMatchObject({
      attempts: 1,
      recoveries: 1,
    })
    expect(attemptsOf(receiver.requests)).toEqual([1, 2, 3])
    expectGrowingClaims(receiver.requests)
  })
})

describe('SIGTERM while webhooks are under way', () => {
  it('lets them end within the grace', async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const fleet = await startFleet({ size: 1, env: ALLOWED })
    const [leaver] = fleet.servers as [Service]
    await scheduleWebhook(leaver, receiver.url, { id: 'last' })
    await until('it is sent', () => held.length === 1)
    const other = await fleet.add()
    const left = leaver.end('SIGTERM')
    await until('it no longer takes requests', () =>
      leaver.get('/health').then(
        () => false,
        () => true,
      ),
    )
    expect(leaver.hasEnded()).toBe(false)
    held[0]?.end()
    expect(await left).toBe(0)
    expect(await lookUp(other, 'last')).toMatchObject({ status: 'delivered', attempts: 0, recoveries: 0 })
    expect(receiver.requests).toHaveLength(1)
  })

  it('breaks off what takes longer, and another server delivers it at once, as if for the first time', async () => {
    const { held, answer } = holding()
    const receiver = await openReceiver(answer)
    const fleet = await startFleet({
      size: 1,
      env: { ...ALLOWED, SHUTDOWN_GRACE_MS: '300', LOCK_TTL_MS: '600000' },
    })
    const [leaver] = fleet.servers as [Service]
    await scheduleWebhook(leaver, receiver.url, { id: 'handed-back', retry: { attempts: 1 } })
    await until('it is sent', () => held.length === 1)
    const other = await fleet.add()
    expect(await leaver.end('SIGTERM')).toBe(0)
    await until('the first is broken off', () => receiver.connections[0]?.destroyed === true)
    // Its lock would last for ten minutes.
    await until('the other sends it', () => held.length === 2)
    held[1]?.end()
    expect(await untilIs(other, 'handed-back', { status: 'delivered' })).toMatchObject({
      attempts: 0,
      recoveries: 0,
    })
    expect(attemptsOf(receiver.requests)).toEqual([1, 1])
    expectGrowingClaims(receiver.requests)
  })
})
