import { expect, it, onTestFinished } from 'vitest'
import { everyKind, type Lease, lease, pullAll, sendAll } from '../../support/every-kind.ts'
import { startRedis } from '../../support/redis.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'
import {
  expectOnce,
  setUpgradeScene,
  type UpgradeScene,
  untilAll,
  useOlderVersion,
} from '../../support/upgrade-scene.ts'

const HOUR_MS = 3_600_000

const folder = useOlderVersion()

/** Messages in all states in which they may stay, by what has become of them. */
async function fillWithEverything({ receiverUrl, pulled }: UpgradeScene, server: Service) {
  const hook = (path: string) => ({ type: 'webhook', url: `${receiverUrl}${path}` })
  const onceOnly = { destination: hook('/gone'), retry: { attempts: 1 } }
  const sentDelivered = everyKind(Date.now(), 'delivered', receiverUrl)
  const delivered = await sendAll(server, sentDelivered)
  const echo = async (time: number) => (await server.post(time, 'hello')).body.id ?? ''
  delivered.push(await echo(await server.soon()))
  const dead = await sendAll(
    server,
    [1, 2].map((payload) => ({ payload, ...onceOnly, tags: ['dead'] })),
  )
  const retry = { attempts: 3, minMs: HOUR_MS, jitter: 'none' }
  const [backingOff = ''] = await sendAll(server, [{ payload: 'again', destination: hook('/fails'), retry }])

  const queue = (name: string) => ({ type: 'pull', queue: name })
  const notAfter = Date.now() + 1_000
  const dropped = await sendAll(server, [
    { payload: 'late', notAfter, onLate: 'drop', destination: queue('late') },
  ])
  await until('it is too late', () => Date.now() > notAfter)
  expect(await lease(server, 'late')).toEqual([])

  await sendAll(
    server,
    [1, 2, 3].map((payload) => ({ payload, destination: queue('leased') })),
  )
  const leases = await lease(server, 'leased', { lockMs: 600_000 })
  expect(leases).toHaveLength(3)

  const later = Date.now() + HOUR_MS
  const sentKept = everyKind(later, 'kept', receiverUrl)
  const kept = [...(await sendAll(server, sentKept)), await echo(later)]
  const cancelled = await sendAll(
    server,
    everyKind(later, 'cancelled', receiverUrl).filter(({ id }) => id),
  )
  const changed = await server.call('PATCH', '/v1/messages/cancelled-console', { payload: 'changed' })
  expect(changed.body.version).toBe(2)

  await until('those of the queue have come', async () => {
    pulled.push(...(await pullAll(server, server)))
    return pulled.length === 2
  })
  await untilAll(server, delivered, ['delivered'])
  await untilAll(server, dropped, ['dropped'])
  await untilAll(server, dead, ['dead'])
  await until('it waits for its second attempt', async () => {
    const { body } = await server.call('GET', `/v1/messages/${backingOff}`)
    return body.status === 'scheduled' && body.attempts === 1
  })
  return {
    settledAt: Date.now(),
    later,
    sentDelivered,
    sentKept,
    delivered,
    dead,
    backingOff,
    dropped,
    leases,
    kept,
    cancelled,
  }
}
type Everything = Awaited<ReturnType<typeof fillWithEverything>>

/** What a server answers about messages that stay as they are, and how many there are. */
async function askAbout(server: Service, everything: Everything) {
  const { settledAt, later, delivered, dead, backingOff, dropped, leases, kept, cancelled } = everything
  const ids = [
    ...delivered,
    ...dead,
    backingOff,
    ...dropped,
    ...leases.map(({ id }) => id),
    ...kept,
    ...cancelled,
  ]
  const hour = `from=${later - 1_000}&to=${later + 1_000}&bucketMs=1000`
  const lists = [
    ...['status=scheduled', 'status=claimed', `status=delivered&to=${settledAt}`, 'status=dropped'],
    ...['status=dead', 'status=dead&tag=dead', 'tag=kept'],
  ].map((query) => `messages?limit=1000&${query}`)
  const paths = [...ids.map((id) => `messages/${id}`), ...lists, `forecast?${hour}`]
  const answers = await Promise.all(
    paths.map(async (path) => [path, (await server.call('GET', `/v1/${path}`)).body] as const),
  )
  const { body } = await server.call<{ counts: Record<string, number> }>('GET', '/v1/stats')
  const { scheduled, claimed, dead: graves } = body.counts
  return { ...Object.fromEntries(answers), counts: { scheduled, claimed, graves } }
}

/** Sends messages for the console that come for a second. @returns their ids, once some have come */
async function startDelivering({ fleet }: UpgradeScene, server: Service, prefix: string): Promise<string[]> {
  const from = await server.soon(10)
  const messages = Array.from({ length: 500 }, (_, i) => ({
    id: `${prefix}-${i}`,
    at: from + 2 * i,
    payload: i,
  }))
  const answer = await server.call('POST', '/v1/messages/batch', { messages })
  expect(answer.status).toBe(200)
  await until(`some of ${prefix} have come`, () =>
    fleet.delivered().some(({ messageId }) => messageId.startsWith(`${prefix}-`)),
  )
  return messages.map(({ id }) => id)
}

/**
 * Stops one server in order and kills the other, both in the middle of deliveries.
 *
 * @returns the ids of all messages that were due, of the webhooks among them, which hang, and of those claimed at the
 *   end
 */
async function stopInMidst(scene: UpgradeScene, [first, second]: readonly [Service, Service]) {
  const destination = { type: 'webhook', url: `${scene.receiverUrl}/hangs`, timeoutMs: 60_000 }
  const hanging = await sendAll(
    first,
    [1, 2, 3, 4, 5, 6].map((payload) => ({ payload, destination })),
  )
  const before = await startDelivering(scene, second, 'stopped')
  expect(await first.end('SIGTERM')).toBe(0)
  const midst = await startDelivering(scene, second, 'killed')
  await until('the webhooks hang at the server that is left', async () => {
    const claimed = await scene.claimed()
    return hanging.every((id) => claimed.includes(id))
  })
  await second.end('SIGKILL')
  return { due: [...before, ...midst], hanging, claimed: await scene.claimed() }
}

/** Checks that leases given by the older version can be settled, each in its way. */
async function expectLeasesHold([one, other]: readonly [Service, Service], leases: readonly Lease[]) {
  const [done, failed, extended] = leases
  const settle = async (act: string, of: Lease | undefined, more = {}) => {
    const messages = [{ id: of?.id, token: of?.token }]
    return (await one.call('POST', `/v1/queues/leased/${act}`, { messages, ...more })).status
  }
  expect(await settle('acknowledge', done)).toBe(200)
  expect(await settle('release', failed, { delay: 0 })).toBe(200)
  expect(await settle('extend', extended, { lockMs: 60_000 })).toBe(200)
  const next = await lease(other, 'leased')
  expect(next.map(({ id, attempt }) => [id, attempt])).toEqual([[failed?.id, 2]])
}

/** Checks that ids given to the older version are known: of messages that wait, and of those that are finished. */
async function expectIdsKnown(server: Service, { sentKept, sentDelivered }: Everything) {
  const withIds = [...sentKept, ...sentDelivered].filter(({ id }) => id !== undefined)
  const statuses = async (more: object) =>
    Promise.all(
      withIds.map(async (body) => (await server.call('POST', '/v1/messages', { ...body, ...more })).status),
    )
  expect(await statuses({})).toEqual(withIds.map(() => 200))
  expect(await statuses({ payload: 'another' })).toEqual(withIds.map(() => 409))
}

/** Checks that messages stored by the older version can be cancelled, redriven, deleted, changed and moved. */
async function expectChangesWork(
  scene: UpgradeScene,
  [one, other]: readonly [Service, Service],
  { delivered, dead, backingOff, kept, cancelled }: Everything,
) {
  const [redriven = '', deleted = ''] = dead
  const bodies = await Promise.all([
    one.call('POST', '/v1/messages/cancel', { tag: 'cancelled' }),
    one.call('POST', '/v1/dead/redrive', { ids: [redriven] }),
    other.call('DELETE', '/v1/dead', { ids: [deleted] }),
    other.call('POST', '/v1/messages/shift', { ids: kept, byMs: -2 * HOUR_MS }),
  ])
  expect(bodies.map(({ body }) => body)).toEqual([
    { cancelled: cancelled.length, claimed: 0 },
    { redriven: 1, unknown: [] },
    { deleted: 1 },
    { shifted: kept.length },
  ])
  expect((await other.call('PATCH', `/v1/messages/${backingOff}`, { at: Date.now() })).status).toBe(200)
  await until('those of the queue have come', async () => {
    scene.pulled.push(...(await pullAll(one, other)))
    return scene.pulled.filter(({ id }) => kept.includes(id)).length === 2
  })
  await untilAll(other, [...kept, redriven, backingOff], ['delivered'])
  await expectOnce(scene, kept)
  const came = await scene.arrivals()
  const contentsOf = (id: string) => came.flatMap((each) => (each.id === id ? [each.content] : []))
  expect(kept.map(contentsOf)).toEqual(delivered.map(contentsOf))
  expect([redriven, backingOff].map((id) => contentsOf(id).length)).toEqual([2, 2])
  const gone = await Promise.all([deleted, ...cancelled].map((id) => other.call('GET', `/v1/messages/${id}`)))
  // A version that has no such outcome does not find them.
  for (const { status, body } of gone) expect(status === 404 || body.status === 'cancelled').toBe(true)
  expect(cancelled.flatMap(contentsOf)).toEqual([])
}

it('What an older version has stored is found, delivered, cancelled and redriven by this one', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const scene = await setUpgradeScene(redis.url)
  const { fleet } = scene
  const older = [await fleet.add({ folder: folder() }), await fleet.add({ folder: folder() })] as const
  const everything = await fillWithEverything(scene, older[0])
  const asked = await askAbout(older[1], everything)
  const { due, hanging, claimed } = await stopInMidst(scene, older)

  scene.accept()
  const newer = [await fleet.add(), await fleet.add()] as const
  await untilAll(newer[0], [...due, ...hanging], ['delivered'])
  await expectOnce(scene, due, claimed)
  for (const id of hanging) {
    const requests = scene.received.filter(({ headers }) => headers['webhook-id'] === id)
    // Once at each older server at most, of which the one that was killed cost an attempt.
    expect(requests.length).toBeLessThanOrEqual(3)
    expect(requests.at(-1)?.headers['carillon-attempt']).toBe('2')
  }
  expect(await askAbout(newer[1], everything)).toEqual(asked)
  expect(await fleet.findings()).toEqual([])

  await expectLeasesHold(newer, everything.leases)
  await expectIdsKnown(newer[0], everything)
  await expectChangesWork(scene, newer, everything)
})
