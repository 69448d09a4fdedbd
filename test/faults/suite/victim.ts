// Tests that start what the suite's tests start, in a run that is killed: see leaves-nothing.test.ts.

import { spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { startEmbeddedRedis } from '../../../src/dev/embedded-redis.ts'
import { runningChildren } from '../../support/children.ts'
import { startFleet } from '../../support/fleet.ts'
import { startRedis } from '../../support/redis.ts'

const tell = (what: object) => appendFileSync(process.env.TELL_TO ?? '', `${JSON.stringify(what)}\n`)

describe('in turn', () => {
  it('runs out of time while servers start', { timeout: 1 }, async () => {
    void startRedis()
    await startFleet({ size: 2 })
  })

  it('finds nothing of the one before, starts all there is, and never ends', {
    timeout: 600_000,
  }, async () => {
    tell({ before: runningChildren().map(({ spawnargs }) => spawnargs) })
    await startFleet({ size: 1, env: { PROCESSES: '2' } })
    await startRedis()
    const dataDir = mkdtempSync(join(tmpdir(), 'data-'))
    await startEmbeddedRedis({ dataDir, cacheDir: '.cache', log: () => undefined })
    // What a test starts past the suite's own way, and what has lost its parent.
    spawn('sh', ['-c', 'sleep 600 & sleep 600'], { stdio: 'ignore', detached: true }).unref()
    tell({ runs: inject('runFolder') })
    await new Promise(() => undefined)
    expect.unreachable()
  })
})
