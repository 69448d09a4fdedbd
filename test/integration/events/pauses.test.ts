import { expect, it } from 'vitest'
import { listen } from '../../support/event-stream.ts'
import { serveHere } from '../../support/serve-here.ts'

it('GET /v1/events tells when something is paused, and resumed', async () => {
  const server = await serveHere()
  const { of, came } = await listen(server.url, { query: '?types=paused,resumed' })
  await server.post('/v1/pauses', { target: 'tag:t', note: 'why' })
  await came(1, 'paused')
  const answer = await fetch(`${server.url}/v1/pauses/tag%3At`, { method: 'DELETE' })
  expect(answer.status).toBe(200)
  await came(1, 'resumed')
  expect(of().map(({ data }) => data)).toEqual([
    { target: 'tag:t', note: 'why' },
    { target: 'tag:t', waiting: 0 },
  ])
})
