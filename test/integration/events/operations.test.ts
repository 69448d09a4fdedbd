import { expect, it } from 'vitest'
import { listen } from '../../support/event-stream.ts'
import { serveHere } from '../../support/serve-here.ts'

it('GET /v1/events tells when an operation begins, and how it ends', async () => {
  const server = await serveHere()
  const { of, came } = await listen(server.url, { query: '?types=operation' })
  for (const id of ['a', 'b'])
    await server.post('/v1/messages', { id, at: '2999-01-01T00:00:00.000Z', payload: 1, tags: ['t'] })
  const { body } = await server.post('/v1/operations', { action: 'cancel', filter: { tag: 't' } })
  await came(2, 'operation')
  const about = { operation: body.id, action: 'cancel', matched: 2, failed: 0 }
  expect(of().map(({ data }) => data)).toEqual([
    { ...about, target: 'tag=t', state: 'running', done: 0 },
    { ...about, state: 'done', done: 2 },
  ])
})
