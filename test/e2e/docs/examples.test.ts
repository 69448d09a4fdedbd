import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { beforeAll, describe, expect, it } from 'vitest'
import { startChild } from '../../support/children.ts'
import { startFleet } from '../../support/fleet.ts'
import { type Fence, type Page, pages } from '../../support/markdown.ts'
import { answerWith, openReceiver } from '../../support/receiver.ts'
import { until } from '../../support/until.ts'
import { readAnswers, type Shown, shapeOf, shapeOfLine } from './shape.ts'

/** Where the docs have the service and the receiver of webhooks. */
const SERVICE = 'http://localhost:3000'
const RECEIVER = 'http://127.0.0.1:9000'
/** Needs a server with a test clock. */
const CLOCK_PAGE = 'docs/guides/testing.md'

const ANSWERS: ReadonlySet<string> = new Set(['json', 'http', 'text'])

/** Lines of a shell, and the answer that is shown behind them, if one is. */
interface Example {
  readonly code: Fence
  readonly answer: Fence | undefined
}

const hasCurl = ({ text }: Fence) => /\bcurl\b/.test(text)

const examplesOf = ({ fences }: Page): Example[] =>
  fences.flatMap((code, i) => {
    if (code.language !== 'sh' || !hasCurl(code)) return []
    const next = fences[i + 1]
    const isAnswer = next?.followsFence === true && ANSWERS.has(next.language)
    return [{ code, answer: isAnswer ? next : undefined }]
  })

/** Runs lines as they are, with curl silent and its statuses told apart from what it answers. */
async function run(lines: string): Promise<{ output: string; statuses: number[]; errors: string }> {
  const curl = `curl() { command curl -sS -w '\\n%{stderr}status %{http_code}\\n' "$@"; }`
  const child = startChild('bash', ['-c', `set -eo pipefail\n${curl}\n${lines}`], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await closed
  if (code !== 0) throw new Error(`exit code ${code}: ${errors}`)
  const statuses = [...errors.matchAll(/^status (\d+)$/gm)].map(([, status]) => Number(status))
  return { output, statuses, errors }
}

/** Holds what came against what is shown. */
function expectAsShown(
  { code, answer }: Example,
  { output, statuses }: Awaited<ReturnType<typeof run>>,
): void {
  if (answer === undefined) {
    expect(
      statuses.filter((status) => status >= 300),
      `${code.text}\n${output}`,
    ).toEqual([])
    return
  }
  if (answer.language === 'text') {
    const lines = new Set(output.split('\n').map(shapeOfLine))
    const missing = answer.text.split('\n').filter((line) => !lines.has(shapeOfLine(line)))
    expect(missing, 'lines that are shown and did not come').toEqual([])
    return
  }
  const shown = readAnswers(answer.text)
  const came = readAnswers(output)
  expect(came.map(({ body }) => shapeOf(body))).toEqual(shown.map(({ body }) => shapeOf(body)))
  shown.forEach(({ head }, i) => {
    if (head === undefined) return
    expect(came[i]?.head?.status).toBe(head.status)
    expect([...(came[i]?.head?.headers.keys() ?? [])]).toEqual(
      expect.arrayContaining([...head.headers.keys()]),
    )
  })
  if (shown.every(isPlainSuccess)) expect(statuses.filter((status) => status >= 300)).toEqual([])
}

/** Shown without a head, and not as a problem. */
const isPlainSuccess = ({ head, body }: Shown): boolean =>
  head === undefined && typeof (body as { status?: unknown } | null)?.status !== 'number'

/** Whether nothing is changed by asking again: what is shown may come a moment later. */
const onlyReads = ({ text }: Fence): boolean => !/(?:^|\s)(?:-X|-d|-T|--data\S*)\s/.test(text)

async function expectExample(path: string, example: Example, here: (lines: string) => string): Promise<void> {
  const lines = here(example.code.text)
  const where = `${path}:${example.code.line}`
  let failure: Error | undefined
  const holds = async () => {
    try {
      expectAsShown(example, await run(lines))
      failure = undefined
    } catch (error) {
      failure = error as Error
    }
    return failure === undefined
  }
  if (!(await holds()) && onlyReads(example.code)) await until(where, holds, 10_000).catch(() => undefined)
  if (failure !== undefined) throw Object.assign(failure, { message: `${where}: ${failure.message}` })
}

beforeAll(() => {
  if (spawnSync('curl', ['--version']).status !== 0) {
    throw new Error('curl is not on the PATH: the examples of the docs are run with it')
  }
})

describe('the curl lines of the docs', () => {
  // One server for all pages but one, as it takes longer to start than to answer; so their ids and tags must not
  // collide.
  it('are answered as the pages show', async () => {
    const receiver = await openReceiver((response, request, socket) =>
      request.path === '/gone'
        ? answerWith(410, {}, 'gone')(response, request, socket)
        : answerWith(200)(response, request, socket),
    )
    // One shard, as a single Redis has by default: on a cluster a stream would have more keys.
    const env = { WEBHOOK_ALLOW: '127.0.0.1', SHARDS: '1' }
    const fleet = await startFleet({ size: 1, env })
    const withClock = await startFleet({ size: 1, env: { ...env, TEST_CLOCK: 'true' } })
    const here = (path: string) => (lines: string) => {
      const { servers } = path === CLOCK_PAGE ? withClock : fleet
      return lines.replaceAll(SERVICE, servers[0]?.url ?? '').replaceAll(RECEIVER, receiver.url)
    }
    const examples = pages().flatMap((page) => examplesOf(page).map((example) => ({ page, example })))
    expect(examples.length).toBeGreaterThan(20)
    for (const { page, example } of examples) await expectExample(page.path, example, here(page.path))
  })

  it('are all in sh blocks, and go to http://localhost:3000', () => {
    const elsewhere = pages().flatMap(({ path, fences }) =>
      fences
        .filter((fence) => hasCurl(fence) && (fence.language !== 'sh' || !fence.text.includes(SERVICE)))
        .map(({ line }) => `${path}:${line}`),
    )
    expect(elsewhere).toEqual([])
  })
})
