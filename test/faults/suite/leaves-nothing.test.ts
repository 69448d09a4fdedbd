import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startChild } from '../../support/children.ts'
import { processesOfRun } from '../../support/run-processes.js'
import { until } from '../../support/until.ts'

interface Told {
  readonly before?: readonly string[][]
  readonly runs?: string
}

/**
 * Two shared nodes, three sentinels, a worker of the tests, a server and its two processes, two of Redis, two of sleep
 * and their shell.
 */
const AT_LEAST = 14

it.runIf(process.platform === 'linux')(
  'a runner that is killed with kill -9 leaves no process and no folder, and a test that runs out of time none either',
  async () => {
    const told = join(mkdtempSync(join(tmpdir(), 'carillon-told-')), 'told')
    writeFileSync(told, '')
    const runner = startChild(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/faults/suite/victim.config.ts'],
      {
        env: { ...process.env, CARILLON_TEST_REDIS: 'sentinel', TELL_TO: told },
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    )
    const lines = () => readFileSync(told, 'utf8').split('\n').slice(0, -1)
    const hear = (): Told => Object.assign({}, ...lines().map((line) => JSON.parse(line)))
    await until('the tests have started all', () => hear().runs !== undefined)
    const { before, runs: folder = '' } = hear()
    expect(before).toEqual([])

    // The runner itself is of the outer run.
    await until('all of them run', () => processesOfRun(folder).length >= AT_LEAST)
    runner.kill('SIGKILL')
    await until('nothing is left', () => processesOfRun(folder).length === 0 && !existsSync(folder))
  },
)
