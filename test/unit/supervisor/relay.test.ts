import { expect, it } from 'vitest'
import type { Stdout, WriteResult } from '../../../src/destinations/console/stdout.ts'
import type { FromServer, ToServer } from '../../../src/supervisor/ipc-messages.ts'
import { createRelay } from '../../../src/supervisor/relay.ts'
import { createRelayedStdout } from '../../../src/supervisor/relayed-stdout.ts'

/** A server's standard output and the primary's, of which a test decides when and how each write ends. */
function connect() {
  const writes: { text: string; startBy: number; signal: AbortSignal; end(result: WriteResult): void }[] = []
  const primary: Stdout = {
    write: (text, startBy = Number.NaN, signal = new AbortController().signal) =>
      new Promise((end) => {
        writes.push({ text, startBy, signal, end })
        signal.addEventListener('abort', () => end('not begun'))
      }),
    drain: async () => undefined,
  }
  const toServer: ToServer[] = []
  const relay = createRelay(primary, (message) => {
    toServer.push(message)
    if (message.type === 'settled') stdout.settled(structuredClone(message))
  })
  const stdout = createRelayedStdout((message: FromServer) => {
    const arrived = structuredClone(message)
    if (arrived.type === 'write') relay.write(arrived)
    if (arrived.type === 'withdraw') relay.withdraw(arrived.id)
  })
  return { stdout, relay, writes }
}

const soon = () => performance.now() + 60_000

it('a write has ended only when it has ended at the other end, each by itself', async () => {
  const { stdout, writes } = connect()
  const ended: string[] = []
  const one = stdout.write('one\n').then((result) => ended.push(`one ${result}`))
  const other = stdout.write('other\n', soon()).then((result) => ended.push(`other ${result}`))
  const drained = stdout.drain().then(() => ended.push('drained'))
  expect(writes.map(({ text }) => text)).toEqual(['one\n', 'other\n'])
  expect(ended).toEqual([])
  writes[1]?.end('not begun')
  await other
  writes[0]?.end('written')
  await Promise.all([one, drained])
  expect(ended).toEqual(['other not begun', 'one written', 'drained'])
  await stdout.drain()
})

it('an error keeps the code by which a reader is known to be gone', async () => {
  const { stdout, writes } = connect()
  const written = stdout.write('x\n')
  writes[0]?.end(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
  expect(await written).toMatchObject({ message: 'write EPIPE', code: 'EPIPE' })
})

it('the time by which it must begin is the same moment at the other end', async () => {
  const { stdout, writes } = connect()
  const startBy = performance.now() + 1_234
  void stdout.write('delivery\n', startBy)
  void stdout.write('log line\n')
  expect(writes[0]?.startBy).toBeCloseTo(startBy, 3)
  expect(writes[1]?.startBy).toBe(Number.POSITIVE_INFINITY)
})

it('what is withdrawn is withdrawn at the other end, and what was withdrawn before never gets there', async () => {
  const { stdout, writes } = connect()
  const ending = new AbortController()
  const written = stdout.write('x\n', soon(), ending.signal)
  const kept = stdout.write('y\n', soon())
  ending.abort()
  expect(await written).toBe('not begun')
  expect(await stdout.write('z\n', soon(), ending.signal)).toBe('not begun')
  expect(writes.map(({ signal }) => signal.aborted)).toEqual([true, false])
  writes[1]?.end('written')
  expect(await kept).toBe('written')
})

it('a server that is gone begins no more deliveries, while its log is written', () => {
  const { stdout, relay, writes } = connect()
  void stdout.write('delivery\n', soon())
  void stdout.write('last words\n')
  relay.end()
  void stdout.write('late delivery\n', soon())
  void stdout.write('very last words\n')
  expect(writes.map(({ text, signal }) => [text, signal.aborted])).toEqual([
    ['delivery\n', true],
    ['last words\n', false],
    ['very last words\n', false],
  ])
})
