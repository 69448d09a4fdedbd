import { request } from 'node:http'
import { inject } from 'vitest'
import { connect } from '../../src/store/connect.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { createScripts } from '../../src/store/scripts/scripts.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { SETTINGS } from './retention.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

/** Long enough that servers on a busy machine extend it in time. */
export const LOCK_TTL_MS = '5000'

interface Stats {
  readonly servers: readonly { id: string }[]
}

/** How many processes of a service take part. */
export const countOf = async (service: Service) =>
  (await service.call<Stats>('GET', '/v1/stats')).body.servers.length

/** Starts one service of several processes. @returns it once all of them take part */
export async function startSupervisor(count: number, env: Readonly<Record<string, string>> = {}) {
  const fleet = await startFleet({ size: 1, env: { PROCESSES: String(count), LOCK_TTL_MS, ...env } })
  const [service] = fleet.servers as [Service]
  await until('all of them are there', async () => (await countOf(service)) === count)
  return { fleet, service }
}

/** Sends a request on a new connection. @returns the status, or undefined */
export const requestStatus = (url: string, body?: unknown) =>
  new Promise<number | undefined>((resolve, reject) => {
    const options = {
      agent: false,
      signal: AbortSignal.timeout(HUNG_MS),
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
    }
    request(url, options, (answer) => resolve(answer.resume().statusCode))
      .once('error', reject)
      .end(body === undefined ? undefined : JSON.stringify(body))
  })

/** A request without an answer after this time hangs, on any machine. */
export const HUNG_MS = 30_000

/** The lines of a log whose text matches. */
export const said = ({ log }: Service, words: RegExp) => log.filter(({ msg }) => words.test(String(msg)))

/** How many messages of a fleet are scheduled or claimed. */
export const leftOf = async ({ namespace }: Fleet) => {
  const connection = connect(parseRedisUrl(inject('redisUrl')))
  try {
    await connection.waitUntilReady(60_000)
    const scripts = createScripts(connection.client, { ...SETTINGS, namespace })
    const { scheduled, claimed } = await scripts.count(0)
    return scheduled + claimed
  } finally {
    await connection.close()
  }
}

/** Schedules messages of 20 KB, due from now on: far more than a pipe takes in one write. @returns their ids */
export async function scheduleLarge(fleet: Fleet, count: number, overMs: number): Promise<string[]> {
  const PER_CALL = 250
  const payload = '"'.repeat(500).padEnd(20_000, 'x')
  const start = Date.now()
  const ids: string[] = []
  for (let first = 0; first < count; first += PER_CALL) {
    const dueAt = (i: number) => start + Math.floor(((first + i) * overMs) / count)
    const options = { payload, prefix: `from${first}-` }
    ids.push(...(await fleet.schedule(Math.min(PER_CALL, count - first), dueAt, options)))
  }
  return ids
}
