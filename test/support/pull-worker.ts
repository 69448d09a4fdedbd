import { startChild } from './children.ts'

/** What a worker says of itself, a line each. */
type WorkerLine = { readonly acknowledged: string[] } | { readonly holding: string[] }

interface Ref {
  readonly id: string
  readonly token: string
}

interface Plan {
  readonly url: string
  readonly queue: string
  /** after so many batches it holds one, and does nothing any more */
  readonly batches: number
}

/**
 * Claims and acknowledges for ever. The batch that it holds has a short lease, and no other lease may end however slow
 * the machine is. It runs in a process of its own, and so uses nothing but what it is given.
 */
async function work({ url, queue, batches }: Plan): Promise<void> {
  const post = async (verb: string, body: object): Promise<{ messages: Ref[]; lost: string[] }> => {
    const response = await fetch(`${url}/v1/queues/${queue}/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return (await response.json()) as { messages: Ref[]; lost: string[] }
  }
  for (let batch = 0; ; ) {
    const lockMs = batch === batches ? 1_000 : 60_000
    const { messages } = await post('claim', { limit: 5, lockMs, waitMs: 5_000 })
    if (messages.length === 0) continue
    const ids: string[] = messages.map(({ id }) => id)
    if (batch === batches) {
      console.log(JSON.stringify({ holding: ids }))
      await new Promise((resolve) => setTimeout(resolve, 60_000))
    }
    batch += 1
    const refs = messages.map(({ id, token }) => ({ id, token }))
    const { lost } = await post('acknowledge', { messages: refs })
    console.log(JSON.stringify({ acknowledged: ids.filter((id) => !lost.includes(id)) }))
  }
}

/** Starts a worker in a process of its own. */
export function startPullWorker(plan: Plan) {
  const code = `${work.toString()}; await work(${JSON.stringify(plan)})`
  const child = startChild(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: WorkerLine[] = []
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const whole = (rest + chunk).split('\n')
    rest = whole.pop() ?? ''
    lines.push(...whole.map((line) => JSON.parse(line) as WorkerLine))
  })
  return {
    acknowledged: () => lines.flatMap((line) => ('acknowledged' in line ? line.acknowledged : [])),
    holding: () => lines.flatMap((line) => ('holding' in line ? line.holding : [])),
    kill: () => void child.kill('SIGKILL'),
  }
}
