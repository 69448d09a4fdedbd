import { fileURLToPath } from 'node:url'
import {
  GenericContainer,
  getContainerRuntimeClient,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { START } from '../../support/service.ts'
import { until } from '../../support/until.ts'

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url))
const REDIS_IMAGE = 'redis:8'
const REDIS_PORT = 6379
const SERVICE_PORT = 3000
const NODE_UID = '1000' // of the user `node` in Node's images
const GRACE_S = 10 // SHUTDOWN_GRACE_MS, unless set

describe('the Docker image', { timeout: 60_000 }, () => {
  const cleanups: (() => Promise<unknown>)[] = []
  let network: StartedNetwork
  let image: GenericContainer
  let service: StartedTestContainer
  let output = ''

  beforeAll(async () => {
    network = await new Network().start()
    cleanups.push(() => network.stop())
    const redis = await new GenericContainer(REDIS_IMAGE)
      .withCommand(['redis-server', '--appendonly', 'yes', '--appendfsync', 'always'])
      .withNetwork(network)
      .withNetworkAliases('redis')
      .withExposedPorts(REDIS_PORT)
      .withWaitStrategy(Wait.forLogMessage('Ready to accept connections'))
      .start()
    cleanups.push(() => redis.stop())
    image = await buildImage(cleanups)
    service = await image
      .withNetwork(network)
      .withEnvironment({ REDIS_URL: `redis://redis:${REDIS_PORT}`, ALLOW_OPEN: 'true' })
      .withExposedPorts(SERVICE_PORT)
      .withWaitStrategy(Wait.forHealthCheck())
      .start()
    cleanups.push(() => remove(service))
    const logs = await service.logs()
    logs.on('data', (chunk) => {
      output += chunk
    })
  }, 300_000)

  afterAll(async () => {
    const errors: unknown[] = []
    for (const cleanup of cleanups.reverse()) await cleanup().catch((error) => errors.push(error))
    expect(errors).toEqual([])
  }, 60_000)

  it('becomes healthy and answers /health', async () => {
    const answer = await fetch(`${urlOf(service)}/health`)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ status: 'success', message: 'server is ok!' })
  })

  it('delivers a message on its console at its time, not before', async () => {
    const dueAt = Date.now() + 2_000
    const answer = await fetch(`${urlOf(service)}/echoAtTime`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ time: String(dueAt), message: 'from the image' }),
    })
    const { id, ...rest } = (await answer.json()) as Record<string, string>
    expect(answer.status).toBe(200)
    expect(rest).toEqual({ status: 'success', message: 'message scheduled' })

    const lineOf = () => output.split('\n').find((line) => line.includes(`"messageId":"${id}"`))
    await until('the line of the message', () => lineOf() !== undefined)
    expect(Date.now()).toBeGreaterThanOrEqual(dueAt)
    const line = JSON.parse(lineOf() ?? '')
    expect(line).toMatchObject({ messageId: id, dueAt, attempt: 1, msg: 'from the image' })
    expect(line.lateMs).toBeGreaterThanOrEqual(0)
  })

  it('runs as process 1, not as root', async () => {
    expect(await outputOf(service, ['id', '-u'])).toBe(NODE_UID)
    expect(await outputOf(service, ['stat', '-c', '%u', '/proc/1'])).toBe(NODE_UID)
    const commandLine = await outputOf(service, ['cat', '/proc/1/cmdline'])
    expect(commandLine.split('\0').filter(Boolean)).toEqual(['node', ...START])
  })

  it('holds what a server needs to run, and nothing it is made of', async () => {
    const files = await outputOf(service, ['ls', '-A', '/app'])
    expect(files.split('\n').sort()).toEqual(['LICENSE', 'dist', 'lua', 'node_modules', 'package.json'])
    const packages = await outputOf(service, ['ls', '/app/node_modules'])
    expect(packages.split('\n')).toContain('fastify')
    expect(packages.split('\n')).not.toContain('typescript')
  })

  it('ends with exit code 0 within the grace when it is stopped', async () => {
    const began = performance.now()
    await service.stop({ remove: false, timeout: GRACE_S * 1_000 })
    // Past the timeout it would have been killed, which is exit code 137.
    expect(performance.now() - began).toBeLessThan(GRACE_S * 1_000)
    const { container } = await getContainerRuntimeClient()
    const { State } = await container.inspect(container.getById(service.getId()))
    expect(State).toMatchObject({ Running: false, ExitCode: 0 })
  })
})

/**
 * Under a name of its own, since other checkouts may build theirs meanwhile; unchanged layers come from the engine's
 * cache.
 */
async function buildImage(cleanups: (() => Promise<unknown>)[]): Promise<GenericContainer> {
  const name = `localhost/carillon-test:${process.pid}-${Date.now()}`
  const image = await GenericContainer.fromDockerfile(CHECKOUT).build(name)
  const { container } = await getContainerRuntimeClient()
  cleanups.push(() => container.dockerode.getImage(name).remove({ force: true, noprune: true }))
  return image
}

async function remove(started: StartedTestContainer): Promise<void> {
  const { container } = await getContainerRuntimeClient()
  await container.getById(started.getId()).remove({ force: true, v: true })
}

const urlOf = (started: StartedTestContainer) =>
  `http://${started.getHost()}:${started.getMappedPort(SERVICE_PORT)}`

async function outputOf(started: StartedTestContainer, command: string[]): Promise<string> {
  const { output, exitCode } = await started.exec(command)
  expect({ output, exitCode }).toMatchObject({ exitCode: 0 })
  return output.trim()
}
