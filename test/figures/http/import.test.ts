import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type IncomingMessage, request as openRequest } from 'node:http'
import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import { keysOf } from '../../../src/store/keys.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'

const LINES = 1_000_000
const PER_PIECE = 500
const MOST_KIB = 200 * 1_024

it('a million lines in one request are all stored, by a server that stays under 200 MB', async () => {
  const redis = await startRedis()
  try {
    const fleet = await startFleet({ size: 1, redisUrl: redis.url, env: { ROLES: 'api' } })
    const [server] = fleet.servers
    const request = openRequest(`${server?.url}/v1/messages/batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      agent: false,
    })
    Readable.from(lines()).pipe(request)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const { count, last } = await readResults(response)

    expect(count).toBe(LINES)
    expect(last).toMatchObject({ line: LINES, status: 201 })
    const { messages, scheduled } = keysOf(0, fleet.namespace)
    expect(await redis.client.hlen(messages)).toBe(LINES)
    expect(await redis.client.zcard(scheduled)).toBe(LINES)
    expect(await peakKib(Number(server?.log[0]?.pid))).toBeLessThan(MOST_KIB)
  } finally {
    await redis.stop()
  }
})

function* lines(): Generator<string> {
  for (let i = 0; i < LINES; i += PER_PIECE) {
    let piece = ''
    for (let j = i; j < i + PER_PIECE; j += 1) {
      const payload = `{"text":"good morning","number":${j},"more":"as much as is usual"}`
      piece += `{"at":"2099-01-01T09:00:00Z","payload":${payload}}\n`
    }
    yield piece
  }
}

/** Only the last line is kept. */
async function readResults(response: IncomingMessage): Promise<{ count: number; last: unknown }> {
  let count = 0
  let tail = ''
  for await (const piece of response as AsyncIterable<Buffer>) {
    for (let at = piece.indexOf(10); at !== -1; at = piece.indexOf(10, at + 1)) count += 1
    tail = (tail + piece.toString('latin1', Math.max(0, piece.length - 200))).slice(-200)
  }
  return { count, last: JSON.parse(tail.trimEnd().split('\n').at(-1) ?? '') }
}

/** The most memory a process has had resident, as Linux tells it. */
async function peakKib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1])
}
