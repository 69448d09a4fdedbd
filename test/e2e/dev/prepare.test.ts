import { type ChildProcess, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { startChild } from '../../support/children.ts'

const DEV = fileURLToPath(new URL('../../../src/dev', import.meta.url))

/**
 * Stands for TypeScript: small to install, and told by files of the project what to do. It copies half, then holds or
 * fails where asked to, then copies the rest.
 */
const COMPILER = `
const fs = require('node:fs')
const out = process.argv[process.argv.indexOf('--outDir') + 1]
fs.appendFileSync('builds.log', 'built\\n')
fs.cpSync('src/dev', out + '/dev', { recursive: true })
if (fs.existsSync('fail')) { console.log('src/main.js(1,1): error TS1: no'); process.exit(2) }
if (fs.existsSync('hold')) { fs.writeFileSync('holding', String(process.pid)); setInterval(() => {}, 1000) }
else fs.copyFileSync('src/main.js', out + '/main.js')
`

/** As it is checked out, and the same once it was prepared. */
let bare: string
let ready: string
let project: string
const children: ChildProcess[] = []
const compilers: number[] = []

beforeAll(() => {
  bare = mkdtempSync(join(tmpdir(), 'carillon-bare-'))
  const compiler = join(bare, 'package')
  mkdirSync(join(compiler, 'bin'), { recursive: true })
  writeFileSync(join(compiler, 'package.json'), '{"name":"typescript","version":"1.0.0"}')
  writeFileSync(join(compiler, 'bin', 'tsc'), COMPILER)
  execFileSync('tar', ['-czf', 'typescript.tgz', 'package'], { cwd: bare })
  rmSync(compiler, { recursive: true })

  const integrity = `sha512-${createHash('sha512').update(read(bare, 'typescript.tgz')).digest('base64')}`
  const devDependencies = { typescript: 'file:typescript.tgz' }
  const engines = { node: '>=20.20.2' }
  const about = { name: 'project', version: '1.0.0', type: 'module', engines, devDependencies }
  const packages = {
    '': about,
    'node_modules/typescript': { version: '1.0.0', resolved: 'file:typescript.tgz', integrity, dev: true },
    'node_modules/elsewhere': { version: '1.0.0', dev: true, optional: true, os: ['elsewhere'] },
  }
  const lock = { name: 'project', version: '1.0.0', lockfileVersion: 3, requires: true, packages }
  writeFileSync(join(bare, 'package.json'), JSON.stringify(about))
  writeFileSync(join(bare, 'package-lock.json'), JSON.stringify(lock))
  writeFileSync(join(bare, 'tsconfig.json'), '{}')
  mkdirSync(join(bare, 'src', 'dev'), { recursive: true })
  for (const file of ['prepare.js', 'lock.js']) cpSync(join(DEV, file), join(bare, 'src', 'dev', file))
  writeFileSync(join(bare, 'src', 'main.js'), 'first')

  ready = mkdtempSync(join(tmpdir(), 'carillon-ready-'))
  cpSync(bare, ready, { recursive: true })
  execFileSync(process.execPath, ['src/dev/prepare.js'], { cwd: ready, stdio: 'pipe' })
  rmSync(join(ready, 'builds.log'))
})

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'carillon-project-'))
  cpSync(ready, project, { recursive: true })
})

function startBare(): void {
  rmSync(project, { recursive: true })
  cpSync(bare, project, { recursive: true })
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  // Should prepare have left its compiler behind, that is a failed test, but no process for ever.
  for (const pid of compilers.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  rmSync(project, { recursive: true, force: true, maxRetries: 5 })
})

afterAll(() => {
  for (const folder of [bare, ready]) rmSync(folder, { recursive: true, force: true })
})

const read = (...path: string[]) => readFileSync(join(...path))
const text = (...path: string[]) => read(project, ...path).toString()
const write = (file: string, content: string) => writeFileSync(join(project, file), content)
const builds = () => text('builds.log').split('\n').length - 1

function start(env: NodeJS.ProcessEnv = {}, options: string[] = []): ChildProcess & { said: string } {
  const child = startChild(process.execPath, [...options, 'src/dev/prepare.js'], {
    cwd: project,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  children.push(child)
  const running = Object.assign(child, { said: '' })
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    running.said += chunk
  })
  return running
}

async function prepare(env?: NodeJS.ProcessEnv, options?: string[]) {
  const running = start(env, options)
  const [code, signal] = await once(running, 'close')
  return { code, signal, said: running.said.split('\n').filter((line: string) => line !== '') }
}

/** What hangs is to fail, on whatever machine. */
const WAIT = { timeout: 60_000 }

/** Resolves with the compiler's pid once it stands still in the midst of its work. */
async function compilerHolds(): Promise<number> {
  const holding = () => Number(/^\d+$/.exec(text('holding'))?.[0] ?? expect.unreachable())
  const pid = await vi.waitFor(holding, WAIT)
  compilers.push(pid)
  return pid
}

async function ended(pid: number): Promise<void> {
  await vi.waitFor(() => expect(isAlive(pid)).toBe(false), WAIT)
}

/** A zombie has ended: who has to reap it is not ours to say. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const DONE = { code: 0, signal: null, said: [] }
const BUILT = { code: 0, signal: null, said: ['building...'] }
const BOTH = { code: 0, signal: null, said: ['installing dependencies (npm ci)...', 'building...'] }

it('installs and builds in a bare checkout, even for production, and the next time does nothing', async () => {
  startBare()
  expect(await prepare({ NODE_ENV: 'production' })).toEqual(BOTH)
  expect(text('dist', 'main.js')).toBe('first')
  expect(await prepare()).toEqual(DONE)
  expect(builds()).toBe(1)
})

it('leaves alone what somebody installed with npm ci', async () => {
  startBare()
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: project, stdio: 'ignore' })
  expect(await prepare()).toEqual(BUILT)
})

it('installs again after an installation that did not come to its end, or that lost a package', async () => {
  rmSync(join(project, 'node_modules', '.package-lock.json'))
  expect((await prepare()).said).toEqual(['installing dependencies (npm ci)...'])
  rmSync(join(project, 'node_modules', 'typescript'), { recursive: true })
  expect((await prepare()).said).toEqual(['installing dependencies (npm ci)...'])
  expect(await prepare()).toEqual(DONE)
})

it('installs again once package-lock.json lists something else, and shows why npm cannot', async () => {
  write('package-lock.json', text('package-lock.json').replace(/sha512-[^"]+/, `sha512-${'A'.repeat(86)}==`))
  const { code, said } = await prepare()
  expect(code).toBe(1)
  expect(said.slice(0, 2)).toEqual(['installing dependencies (npm ci)...', 'npm ci failed (exit code 1):'])
  expect(said.join('\n')).toContain('EINTEGRITY')
})

it('builds again when a source, a setting or the result has changed, and not when only a date has', async () => {
  utimesSync(join(project, 'src', 'main.js'), new Date(), new Date())
  expect(await prepare()).toEqual(DONE)
  for (const change of [
    () => write('src/main.js', 'second'),
    () => write('src/added.js', ''),
    () => rmSync(join(project, 'src', 'added.js')),
    () => write('tsconfig.json', '{ }'),
    () => appendFileSync(join(project, 'dist', 'main.js'), ' and more'),
    () => rmSync(join(project, 'dist', 'main.js')),
    () => rmSync(join(project, 'dist'), { recursive: true }),
  ]) {
    change()
    expect(await prepare(), change.toString()).toEqual(BUILT)
    expect(await prepare(), change.toString()).toEqual(DONE)
  }
  expect(text('dist', 'main.js')).toBe('second')
})

it('keeps the last good build when one fails, says why, and builds once it can', async () => {
  write('src/main.js', 'second')
  write('fail', '')
  expect(await prepare()).toEqual({
    code: 1,
    signal: null,
    said: ['building...', 'the build failed (exit code 2):', 'src/main.js(1,1): error TS1: no'],
  })
  expect(text('dist', 'main.js')).toBe('first')
  rmSync(join(project, 'fail'))
  expect(await prepare()).toEqual(BUILT)
  expect(text('dist', 'main.js')).toBe('second')
})

it('outlasts being killed in the midst of a build: nothing half done, nothing left running', async () => {
  write('src/main.js', 'second')
  write('hold', '')
  const running = start()
  const compiler = await compilerHolds()
  running.kill('SIGKILL')
  rmSync(join(project, 'hold'))
  await ended(compiler)
  expect(text('dist', 'main.js')).toBe('first')
  expect(await prepare()).toEqual(BUILT)
  expect(text('dist', 'main.js')).toBe('second')
  expect(readdirSync(join(project, '.cache'))).toEqual([])
})

it('heals a checkout whose last build was cut off between the removal of the old one and the new one', async () => {
  const half = join(project, '.cache', 'dist-1-old')
  cpSync(join(project, 'dist'), half, { recursive: true })
  rmSync(join(project, 'dist'), { recursive: true })
  expect(await prepare()).toEqual(BUILT)
  expect(existsSync(half)).toBe(false)
})

it('ends by the signal it is sent, and its children with it', async () => {
  write('src/main.js', 'second')
  write('hold', '')
  const running = start()
  const compiler = await compilerHolds()
  running.kill('SIGINT')
  expect(await once(running, 'close')).toEqual([null, 'SIGINT'])
  await ended(compiler)
})

it('does the work once when it is run twice at a time', async () => {
  startBare()
  const results = await Promise.all([prepare(), prepare(), prepare()])
  expect(results.map(({ code }) => code)).toEqual([0, 0, 0])
  expect(builds()).toBe(1)
  const said = results.flatMap((result) => result.said)
  expect(said.filter((line) => line.startsWith('installing'))).toHaveLength(1)
})

it('refuses a Node that is too old, in one line', async () => {
  const older = (node: string) => [
    '--import',
    `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'${node}'}})`,
  ]
  expect(await prepare({}, older('20.20.1'))).toEqual({
    code: 1,
    signal: null,
    said: ['Carillon needs Node 20.20.2 or newer; this is 20.20.1'],
  })
  expect((await prepare({}, older('18.30.9'))).code).toBe(1)
  expect((await prepare({}, older('20.20.2'))).code).toBe(0)
  expect((await prepare({}, older('22.0.0'))).code).toBe(0)
})
