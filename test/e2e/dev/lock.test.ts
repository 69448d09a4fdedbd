import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLocked, withLock } from '../../../src/dev/lock.js'
import { startChild } from '../../support/children.ts'

const LOCK_MODULE = new URL('../../../src/dev/lock.js', import.meta.url).href
let folder: string
const children: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'carillon-lock-'))
})

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Another process that runs `code` with `withLock` in reach. */
function otherProcess(code: string): ChildProcess {
  const script = `import { withLock } from ${JSON.stringify(LOCK_MODULE)}\n${code}`
  const child = startChild(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  return child
}

/** A promise to be settled from outside. */
function signal() {
  let give = () => {}
  const given = new Promise<void>((resolve) => {
    give = resolve
  })
  return { give, given }
}

describe('withLock', () => {
  it('lets the second in only after the first has left, and says once that it waits', async () => {
    const [entered, leave, waits] = [signal(), signal(), signal()]
    const steps: string[] = []
    const first = withLock(folder, async () => {
      entered.give()
      await leave.given
      steps.push('first leaves')
    })
    await entered.given
    let waited = 0
    const onWait = () => {
      waited += 1
      waits.give()
    }
    const second = withLock(folder, () => steps.push('second enters'), { onWait })
    await waits.given
    leave.give()
    await Promise.all([first, second])
    expect(steps).toEqual(['first leaves', 'second enters'])
    expect(waited).toBe(1)
  })

  it('hands back what the work returned, and is free after work that failed', async () => {
    await expect(withLock(folder, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    const mustNotWait = () => expect.unreachable('the lock is still held')
    expect(await withLock(folder, () => 42, { onWait: mustNotWait })).toBe(42)
  })

  it('knows a path by any name, and different paths apart', async () => {
    const link = `${folder}-link`
    symlinkSync(folder, link)
    try {
      const waits = signal()
      let inner: Promise<void> | undefined
      await withLock(folder, async () => {
        await withLock(join(folder, 'other'), () => {}, { onWait: () => expect.unreachable('another path') })
        inner = withLock(link, () => {}, { onWait: waits.give })
        await waits.given
      })
      await inner
    } finally {
      rmSync(link)
    }
  })

  it('is never left held by a holder that was killed', async () => {
    const holder = otherProcess(
      `await withLock(${JSON.stringify(folder)}, () => new Promise(() => {
        console.log('held')
        setInterval(() => {}, 1e3)
      }))`,
    )
    if (holder.stdout) await once(holder.stdout, 'data')
    const waits = signal()
    const mine = withLock(folder, () => 'mine', { onWait: waits.give })
    await waits.given
    holder.kill('SIGKILL')
    expect(await mine).toBe('mine')
  })

  it('does not keep a process alive that has nothing else to do', async () => {
    const idle = otherProcess(`void withLock(${JSON.stringify(folder)}, () => new Promise(() => {}))`)
    expect(await once(idle, 'exit')).toEqual([0, null])
  })
})

describe('openLocked', () => {
  it('keeps the file locked until the process it was given to has ended', async () => {
    const file = join(folder, 'held')
    const fd = openLocked(file)
    if (fd === undefined) return expect.unreachable('nobody holds it')
    const keeper = startChild('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', fd] })
    children.push(keeper)
    closeSync(fd)
    expect(openLocked(file)).toBeUndefined()

    keeper.kill('SIGKILL')
    await once(keeper, 'exit')
    const again = openLocked(file)
    expect(again).toBeTypeOf('number')
    if (again !== undefined) closeSync(again)
  })
})
