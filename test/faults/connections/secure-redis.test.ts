import { writeFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { expect, it, onTestFinished } from 'vitest'
import { type Certificates, makeCertificates } from '../../support/certificates.ts'
import { startFleet } from '../../support/fleet.ts'
import { freePort, startCluster, startRedis } from '../../support/redis.ts'
import { startSentinels, type TestSentinelsOptions } from '../../support/sentinels.ts'
import { refusedStart, type Service } from '../../support/service.ts'

/** Schedules a message and sees it delivered. */
async function expectServed(redisUrl: string, env: Readonly<Record<string, string>>): Promise<void> {
  const fleet = await startFleet({ size: 1, redisUrl, env: { ...env, REDIS_URL: redisUrl } })
  const [server] = fleet.servers as [Service]
  const { status, body } = await server.call('POST', '/v1/messages', { delay: 0, payload: 1 })
  expect(status).toBe(201)
  await fleet.untilDelivered([body.id])
  expect((await server.get('/health')).status).toBe(200)
  expect(server.stderr()).toBe('')
}

async function startSecure(certificates: Certificates) {
  const port = await freePort()
  const redis = await startRedis({ args: certificates.argsFor(port) })
  onTestFinished(() => redis.stop())
  return `rediss://127.0.0.1:${port}`
}

async function startGuarded(options: TestSentinelsOptions) {
  const sentinels = await startSentinels({ downAfterMs: 60_000, ...options })
  onTestFinished(() => sentinels.stop())
  return sentinels
}

it('a Redis over TLS is judged by the authority of REDIS_CA_FILE', async () => {
  const certificates = await makeCertificates()
  const url = await startSecure(certificates)
  await expectServed(url, { REDIS_CA_FILE: certificates.caFile })
})

it('a Redis over TLS of an authority that is not known is not used', async () => {
  const url = await startSecure(await makeCertificates())
  const fleet = await startFleet({ size: 1, redisUrl: url })
  const { status, body } = await (fleet.servers[0] as Service).get('/health')
  expect(status).toBe(503)
  expect(body.message).toMatch(/certificate/)
})

it('a cluster over TLS is served', async () => {
  const certificates = await makeCertificates()
  const ports: number[] = []
  const cluster = await startCluster({
    args: ['--tls-cluster', 'yes'],
    async argsOf() {
      const port = await freePort()
      ports.push(port)
      return { args: certificates.argsFor(port), meetAt: port }
    },
  })
  onTestFinished(() => cluster.stop())
  const url = ports.map((port) => `rediss://127.0.0.1:${port}`).join(',')
  await expectServed(url, { SHARDS: '3', REDIS_CA_FILE: certificates.caFile })
})

it('sentinels with a password of their own are asked with it, and Redis with that of the URL', async () => {
  const { url, nodes } = await startGuarded({
    sentinelPassword: 'of-sentinels',
    sentinelArgs: async (knownAt) => ({ args: ['--requirepass', 'of-sentinels'], knownAt }),
  })
  for (const { client } of nodes) await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all')
  const withUser = url.replace('://', '://app:pw@')
  await expectServed(withUser, { SENTINEL_PASSWORD: 'of-sentinels' })
  for (const [SENTINEL_PASSWORD, line] of [
    [
      '',
      /^carillon: the sentinels need other credentials .* set SENTINEL_USERNAME and SENTINEL_PASSWORD: .*WRONGPASS/,
    ],
    ['wrong', /^carillon: the sentinels refused SENTINEL_USERNAME and SENTINEL_PASSWORD: /],
  ] as const) {
    const { code, stderr } = await refusedStart({ REDIS_URL: withUser, SENTINEL_PASSWORD })
    expect(code).toBe(1)
    expect(stderr).toMatch(line)
    expect(stderr).not.toContain('of-sentinels')
    expect(stderr.trimEnd()).not.toContain('\n')
  }
  const { stderr } = await refusedStart({ REDIS_URL: url })
  expect(stderr).toMatch(/set SENTINEL_USERNAME and SENTINEL_PASSWORD: .*NOAUTH/)
})

it.each([
  ['a password', ':pw@', ['--requirepass', 'pw']],
  ['a user', 'app:pw@', ['--requirepass', 'other', '--user', 'app', 'on', '>pw', 'allchannels', '+@all']],
])(
  'sentinels that want %s that Redis wants, too, are asked with that of the URL',
  async (_what, of, args) => {
    const { url, nodes } = await startGuarded({
      sentinelPassword: args[1] ?? '',
      sentinelArgs: async (knownAt) => ({ args, knownAt }),
    })
    // A Redis without a password does not mind, and the library's warning of it is a line of the log.
    if (of === ':pw@') await expectServed(url.replace('://', `://${of}`), {})
    // The connections that replicas and sentinels have are not asked for it.
    for (const { client } of nodes) {
      await client.config('SET', 'requirepass', 'pw')
      await client.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all')
    }
    await expectServed(url.replace('://', `://${of}`), {})
    const { stderr } = await refusedStart({
      REDIS_URL: url.replace('://', `://${of}`),
      SENTINEL_PASSWORD: 'wrong',
    })
    expect(stderr).toMatch(/the sentinels refused SENTINEL_USERNAME and SENTINEL_PASSWORD: .*WRONGPASS/)
  },
)

it('a sentinel without a password is not offered that of the URL, also beside one that wants it', async () => {
  const { url, nodes } = await startGuarded({})
  for (const { client } of nodes) await client.config('SET', 'requirepass', 'pw')
  const withPassword = url.replace('://', '://:pw@')
  // The client library would say on standard error that it was not asked for.
  await expectServed(withPassword, {})
  const sentinel = new Redis({ port: Number(/:(\d+)/.exec(url)?.[1]), protocol: 2 })
  onTestFinished(() => sentinel.disconnect())
  await sentinel.call('ACL', 'SETUSER', 'default', 'resetpass', '>pw')
  await expectServed(withPassword, {})
})

it('sentinels with users of an ACL are asked as one of them', async () => {
  const { url } = await startGuarded({
    sentinelPassword: 'of-sentinels',
    sentinelArgs: async (knownAt) => ({
      args: ['--requirepass', 'of-sentinels', '--user', 'watcher', 'on', '>seen', 'allchannels', '+@all'],
      knownAt,
    }),
  })
  await expectServed(url, { SENTINEL_USERNAME: 'watcher', SENTINEL_PASSWORD: 'seen' })
})

it('rediss+sentinel:// speaks TLS to the sentinels and to the master they name', async () => {
  const certificates = await makeCertificates()
  const [masterPort, ...others] = [await freePort(), await freePort()]
  const ports = [masterPort, ...others]
  const { url } = await startGuarded({
    nodeArgs: () => certificates.argsFor(ports.shift() ?? 0),
    behind: async () => Number(masterPort),
    async sentinelArgs() {
      const knownAt = await freePort()
      return { args: [...certificates.argsFor(knownAt), '--tls-replication', 'yes'], knownAt }
    },
  })
  await expectServed(url.replace('redis+', 'rediss+'), { REDIS_CA_FILE: certificates.caFile })
})

it.each([
  [
    'that is not there',
    async () => '/nowhere/ca.pem',
    /^carillon: REDIS_CA_FILE is "\/nowhere\/ca.pem" \(it cannot be read: ENOENT\)/,
  ],
  [
    'without a certificate',
    async () => 'package.json',
    /^carillon: REDIS_CA_FILE is .*contains no certificate/,
  ],
  [
    'whose certificate is broken',
    async () => {
      const { caFile } = await makeCertificates()
      await writeFile(caFile, '-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n')
      return caFile
    },
    /^carillon: REDIS_CA_FILE is .*its certificate 1 cannot be read/,
  ],
])('a REDIS_CA_FILE %s ends the start with a line that names it', async (_what, file, line) => {
  const { code, stderr } = await refusedStart({
    REDIS_URL: 'rediss://127.0.0.1:1',
    REDIS_CA_FILE: await file(),
  })
  expect(code).toBe(1)
  expect(stderr).toMatch(line)
  expect(stderr.trimEnd()).not.toContain('\n')
})
