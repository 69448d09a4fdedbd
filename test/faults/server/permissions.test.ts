import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { aclRule } from '../../../src/store/permissions.ts'
import {
  errorsOf,
  REDIS_KINDS,
  type Store,
  setRights,
  startNodes,
  startSingle,
  startWithRights,
  startWithSentinels,
  statusOf,
} from '../../support/acl.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import type { Service } from '../../support/service.ts'
import { until } from '../../support/until.ts'

describe('the least rule of an ACL', () => {
  it('is the one in docs/operate/security.md', () => {
    const rule = aclRule({ namespace: 'carillon', username: 'carillon', isCluster: true, hasDatabase: true })
    const [, , user, ...rules] = rule.split(' ')
    const page = readFileSync('docs/operate/security.md', 'utf8').replace(/\s+/g, ' ')
    expect(page).toContain(`ACL SETUSER ${user} on >password ${rules.join(' ')}`)
  })

  it.each(REDIS_KINDS)('lets all be done on %s', async (_kind, startStore, env) => {
    const store = await startStore()
    const { server, fleet } = await startWithRights(store, [], env)
    const receiver = await openReceiver((response, request, socket) =>
      answerWith(request.path === '/no' ? 400 : 200)(response, request, socket),
    )
    const schedule = async (body: object) => {
      const answer = await server.call('POST', '/v1/messages', body)
      expect(answer.status).toBe(201)
      return answer.body.id
    }
    const webhook = (path: string) => ({ type: 'webhook', url: receiver.url + path })
    const soon = { delay: 0, payload: 1, tags: ['soon'] }
    const seen = await schedule(soon)
    await schedule({ ...soon, destination: webhook('/') })
    const moved = await schedule({ ...soon, destination: { type: 'stream', name: 's', maxLen: 10 } })
    await schedule({ ...soon, id: 'own', destination: { type: 'pull', queue: 'q' } })
    const lost = await schedule({ ...soon, destination: webhook('/no'), retry: { attempts: 1 } })
    await fleet.untilDelivered([seen])
    const stateOf = async (id: string) =>
      (await server.call<{ status: string }>('GET', `/v1/messages/${id}`)).body.status
    await until('the stream has it', async () => (await stateOf(moved)) === 'delivered')
    await until('the webhook was sent', () => receiver.requests.length >= 2)

    const queue = (act: string, body: object) =>
      server.call<{ messages: { id: string; token: string }[] }>('POST', `/v1/queues/q/${act}`, body)
    const claim = async () => {
      const { body } = await queue('claim', { limit: 1, lockMs: 60_000, waitMs: 5_000 })
      expect(body.messages.map(({ id }) => id)).toEqual(['own'])
      return body.messages.map(({ id, token }) => ({ id, token }))
    }
    const leased = await claim()
    expect((await queue('extend', { messages: leased, lockMs: 60_000 })).status).toBe(200)
    expect((await queue('release', { messages: leased, delay: 0 })).status).toBe(200)
    expect((await queue('acknowledge', { messages: await claim() })).status).toBe(200)

    const later = await schedule({ delay: '1h', payload: 1, tags: ['later'] })
    const messages = Array.from({ length: 20 }, () => ({ delay: '1h', payload: 1, tags: ['many'] }))
    await until('one is dead', async () => (await stateOf(lost)) === 'dead')
    for (const [method, path, body] of [
      ['PATCH', `/v1/messages/${later}`, { delay: '2h' }],
      ['DELETE', `/v1/messages/${later}`],
      ['POST', '/v1/messages/batch', { messages }],
      ['POST', '/v1/messages/shift', { tag: 'many', byMs: 1_000 }],
      ['POST', '/v1/messages/cancel', { tag: 'many' }],
      ['POST', '/v1/dead/redrive', { ids: [lost] }],
      ['GET', '/v1/messages'],
      ['GET', '/v1/messages?tag=later'],
      ['GET', '/v1/messages?status=delivered'],
      ['GET', '/v1/messages?status=dead'],
      ['GET', '/v1/stats'],
      ['GET', '/v1/forecast'],
    ] as const) {
      const { status, body: reply } = await server.call<unknown>(method, path, body)
      expect([200, 204], `${method} ${path} ${JSON.stringify(reply)}`).toContain(status)
    }
    expect(await statusOf(server, '/health')).toBe(200)
    expect(await statusOf(server, '/ready')).toBe(200)
    expect((await server.metrics()).size).toBeGreaterThan(0)
    expect(errorsOf(server)).toEqual([])
  })
})

describe('a right that is lacking', () => {
  const post = (server: Service) => server.call('POST', '/v1/messages', { delay: '1h', payload: 1 })

  it.each<[string, () => Promise<Store>, string[], string]>([
    ['one command', startSingle, ['-zadd'], '+zadd'],
    ['scripts', startSingle, ['-@scripting'], '+evalsha'],
    ['keys with braces', startSingle, ['resetkeys', '~test*'], '~{'],
    ['publishing', startSingle, ['-publish'], '+publish'],
    ['its channel', startSingle, ['resetchannels'], '&'],
    ['its channel, with sentinels', startWithSentinels, ['resetchannels'], '&'],
    ['one command, on a cluster', startNodes, ['-zadd'], '+zadd'],
    ['keys with braces, on a cluster', startNodes, ['resetkeys', '~test*'], '~{'],
  ])('(%s) is told, ends nothing, and passes once it is given', async (_what, startStore, rules, right) => {
    const store = await startStore()
    const { server, namespace } = await startWithRights(store, rules, store.isCluster ? { SHARDS: '3' } : {})
    await until('it says so', () => errorsOf(server).length > 0)
    const [line] = errorsOf(server).filter(({ msg }) => String(msg).includes('lacks required permissions'))
    expect(line?.msg).toContain(right)
    expect(line?.msg).toContain(`ACL SETUSER app ~{${namespace}:* `)
    const told = errorsOf(server).filter(({ msg }) => /lacks|cannot be used/.test(String(msg)))
    expect(told).toEqual([line])
    for (const path of ['/health', '/ready']) {
      const { status, body } = await server.get(path)
      expect(status).toBe(503)
      expect(body.message).toContain(right)
    }
    const refused = await post(server)
    expect(refused.status).toBe(503)
    expect(JSON.stringify(refused.body)).toMatch(/lacks/)
    expect((await server.post(Date.now() + 60_000, 'x')).status).toBe(503)
    expect((await server.call('GET', '/v1/messages')).status).not.toBe(500)
    for (const { client } of store.nodes) expect(await client.keys('*messages*')).toEqual([])

    await setRights(store, namespace)
    await until('it is well again', async () => (await statusOf(server, '/health')) === 200)
    expect(await statusOf(server, '/ready')).toBe(200)
    expect((await post(server)).status).toBe(201)
    expect(server.hasEnded()).toBe(false)
  })

  it('makes a cluster unavailable, with that reason, until the right to ask for its state is given', async () => {
    const store = await startNodes()
    const { server, namespace } = await startWithRights(store, ['-cluster|info'], { SHARDS: '3' })
    await until('it says so', async () => {
      const { status, body } = await server.get('/health')
      expect(status).toBe(503)
      return body.message?.includes('its user lacks +cluster|info') === true
    })
    await setRights(store, namespace)
    await until('it is well', async () => (await statusOf(server, '/health')) === 200)
  })

  it('is reported while servers run, too, and nothing is lost', async () => {
    const store = await startSingle()
    const { server, namespace, fleet } = await startWithRights(store)
    const ids: string[] = []
    for (let i = 0; i < 20; i += 1) {
      const { body } = await server.call('POST', '/v1/messages', { delay: 300, payload: i })
      ids.push(body.id)
    }
    await setRights(store, namespace, '-set')
    await until('it says so', async () => (await statusOf(server, '/health')) === 503)
    expect((await server.get('/health')).body.message).toContain('+set')
    await setRights(store, namespace)
    await fleet.untilDelivered(ids)
    await until('it is well again', async () => (await statusOf(server, '/health')) === 200)
  })

  it.each(REDIS_KINDS)(
    'leaves only the fields of INFO out of the stats of %s',
    async (_kind, startStore, env) => {
      const store = await startStore()
      const { server } = await startWithRights(store, ['-info'], env)
      expect(server.stderr()).toBe('')
      const { status, body } = await server.call<{ redis: unknown }>('GET', '/v1/stats')
      expect(status).toBe(200)
      expect(body.redis).toEqual({ version: null, usedMemoryBytes: null, maxMemoryBytes: null })
      expect(await statusOf(server, '/health')).toBe(200)
      expect(await statusOf(server, '/ready')).toBe(200)
      expect(errorsOf(server)).toEqual([])
    },
  )
})

describe('a stream that Redis adds nothing to for want of a right', () => {
  interface Detail {
    readonly status: string
    readonly reason?: string
    readonly lastAttempts?: readonly { readonly error?: string }[]
  }
  const toStream = (attempts: number) => ({
    ...{ delay: 0, payload: 1, destination: { type: 'stream', name: 's' } },
    retry: { attempts, minMs: 50, maxMs: 50 },
  })

  it('has its messages tried again, and gets them once the right is given', async () => {
    const store = await startSingle()
    const { server, namespace } = await startWithRights(store, ['-xadd'])
    expect(await statusOf(server, '/health')).toBe(200)
    const { body } = await server.call('POST', '/v1/messages', toStream(1_000))
    const find = async () => (await server.call<Detail>('GET', `/v1/messages/${body.id}`)).body
    await until('it has failed', async () => ((await find()).lastAttempts?.length ?? 0) > 1)
    expect(await find()).toMatchObject({ status: expect.stringMatching(/scheduled|claimed/) })
    await setRights(store, namespace)
    await until('it is delivered', async () => (await find()).status === 'delivered')
    expect(await store.nodes[0]?.client.xlen(`{${namespace}:0}:stream:s`)).toBe(1)
  })

  it.each([
    ['no permission', ['-xadd']],
    ['no permission', ['resetkeys', '~test*', '~{test*}:[^s]*', '~{test*}:s[^t]*', '~{test*}:streams']],
  ])('has the true reason with its dead letters: %s %s', async (reason, rules) => {
    const store = await startSingle()
    const { server } = await startWithRights(store, rules)
    expect(await statusOf(server, '/health')).toBe(200)
    const { body } = await server.call('POST', '/v1/messages', toStream(1))
    const find = async () => (await server.call<Detail>('GET', `/v1/messages/${body.id}`)).body
    await until('it is dead', async () => (await find()).status === 'dead')
    expect((await find()).reason).toBe(reason)
  })
})
