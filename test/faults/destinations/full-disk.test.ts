import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { startChild } from '../../support/children.ts'
import { freshNamespace } from '../../support/namespace.ts'
import { startRedis } from '../../support/redis.ts'
import { type ConsoleLine, START } from '../../support/service.ts'
import { until } from '../../support/until.ts'

/** A server whose standard output is a file that may not grow beyond some KiB, as on a disk that is nearly full. */
function startOnFullDisk(redisUrl: string, env: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-full-'))
  const path = join(folder, 'console')
  writeFileSync(path, '')
  const command = 'ulimit -S -f 16; file=$1; shift; exec "$@" >> "$file"'
  const child = startChild('sh', ['-c', command, 'sh', path, process.execPath, ...START], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      REDIS_URL: redisUrl,
      NAMESPACE: freshNamespace(),
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const lines = () => readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return {
    stderr: () => stderr,
    lines,
    url: () => lines().flatMap((line) => /listening on (http:\S+?)"/.exec(line)?.[1] ?? [])[0],
    makeRoom: () => execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited']),
  }
}

it.each([{}, { PROCESSES: '2' }])(
  'a console file on a disk that fills loses no message, and no line but the torn one: %o',
  async (env) => {
    const redis = await startRedis()
    const server = startOnFullDisk(redis.url, env)
    await until('it listens', () => server.url() !== undefined)
    const messages = Array.from({ length: 40 }, (_, i) => ({
      delay: 0,
      payload: `${i} ${'x'.repeat(1_000)}`,
    }))
    const answer = await fetch(`${server.url()}/v1/messages/batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages }),
    })
    const { results } = (await answer.json()) as { results: { id: string; status: number }[] }
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set([201]))
    await until('the disk is full', () => server.stderr().includes('is not writable'))
    server.makeRoom()
    const delivered = () => server.lines().flatMap(parse)
    const ids = new Set(results.map(({ id }) => id))
    await until('all have been written', () => {
      const seen = new Set(delivered().map(({ messageId }) => messageId))
      return [...ids].every((id) => seen.has(id))
    })
    const torn = server.lines().filter((line) => parse(line).length === 0)
    expect(torn).toHaveLength(1)
    expect(torn[0]).toMatch(/^\{/)
    await until('all are delivered', async () => {
      const { counts } = (await (await fetch(`${server.url()}/v1/stats`)).json()) as {
        counts: { claimed: number; scheduled: number }
      }
      return counts.claimed + counts.scheduled === 0
    })
    expect(server.stderr().match(/^carillon: .*$/gm)).toEqual([
      expect.stringMatching(/^carillon: standard output is not writable \(EFBIG: .*\): /),
      'carillon: standard output is writable again',
    ])
  },
)

const parse = (line: string): ConsoleLine[] => {
  try {
    return [JSON.parse(line) as ConsoleLine]
  } catch {
    return []
  }
}
