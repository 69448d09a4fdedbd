import { describe, expect, it } from 'vitest'
import { makeApiKey } from '../../../src/http/plugins/api-keys.ts'
import { useApp } from '../../support/app.ts'
import { IN_AN_HOUR } from '../../support/messages-api.ts'
import { operationsApi } from '../../support/operations-api.ts'

interface Row {
  readonly key: string | null
  readonly act: string
  readonly target: string
  readonly count: number
  readonly at: string
  readonly note: string | null
}

describe('GET /v1/audit', () => {
  const world = useApp()
  const { send, post, run } = operationsApi(world)
  const rows = async () => (await send('GET', '/v1/audit')).body.audit as Row[]

  it('tells who did what, the newest first', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await post({ id, at: IN_AN_HOUR, payload: 1, tags: ['t'] })
    await send('POST', '/v1/pauses', { target: 'queue:q', note: 'a deploy' })
    await send('DELETE', '/v1/pauses/queue:q')
    await send('PATCH', '/v1/messages/a', { tags: ['t', 'u'] })
    await send('POST', '/v1/messages/d/deliver')
    const { body: copy } = await send('POST', '/v1/messages/a/copy', { tags: [] })
    await send('DELETE', '/v1/messages/a')
    await send('POST', '/v1/messages/shift', { tag: 't', byMs: 5 })
    await send('POST', '/v1/messages/cancel', { ids: ['b', 'none'] })
    await send('POST', '/v1/dead/redrive', { all: true })
    await send('DELETE', '/v1/dead', { tag: 't' })
    const { id } = await run({ action: 'cancel', filter: { tag: 't' } })
    await send('DELETE', `/v1/operations/${id}`)
    const found = await rows()
    expect(found.map(({ act, target, count, note }) => [act, target, count, note])).toEqual([
      ['stop', id, 2, null],
      ['cancel', 'tag=t', 2, `operation ${id}`],
      ['delete', 'tag=t', 0, null],
      ['redrive', 'all', 0, null],
      ['cancel', 'ids=b,none', 1, null],
      ['shift', 'tag=t', 3, 'by 5 ms'],
      ['cancel', 'a', 1, null],
      ['copy', 'a', 1, `as ${copy.id}`],
      ['deliver', 'd', 1, null],
      ['reschedule', 'a', 1, null],
      ['resume', 'queue:q', 0, null],
      ['pause', 'queue:q', 0, 'a deploy'],
    ])
    for (const { key, at } of found) expect([key, Date.parse(at) > 0]).toEqual([null, true])
  })

  it('leaves out what was refused, and what only reads', async () => {
    await send('DELETE', '/v1/messages/none')
    await send('PATCH', '/v1/messages/none', { tags: [] })
    await send('POST', '/v1/operations', { action: 'cancel', all: true, dryRun: true })
    await send('GET', '/v1/messages')
    expect(await rows()).toEqual([])
  })

  it('keeps the last 1,000', async () => {
    const ids = Array.from({ length: 1_010 }, (_, i) => `m${i}`)
    await Promise.all(ids.map((id) => post({ id, at: IN_AN_HOUR, payload: 1 })))
    const [first, others] = [ids.slice(0, 10), ids.slice(10)]
    const cancel = (id: string) => send('DELETE', `/v1/messages/${id}`)
    await Promise.all(first.map(cancel))
    expect((await rows()).map(({ target }) => target).sort()).toEqual(first.sort())
    await Promise.all(others.map(cancel))
    const found = await rows()
    expect(found.map(({ target }) => target).sort()).toEqual(others.sort())
  })
})

describe('GET /v1/audit with keys', () => {
  const { key, entry } = makeApiKey('ops', 'read+write')
  const world = useApp({ API_KEYS: entry })
  const { send } = operationsApi(world)

  it('names the key', async () => {
    const headers = { authorization: `Bearer ${key}` }
    await send('POST', '/v1/messages', { id: 'a', at: IN_AN_HOUR, payload: 1 }, headers)
    await send('DELETE', '/v1/messages/a', undefined, headers)
    const { body } = await send('GET', '/v1/audit', undefined, headers)
    expect(body.audit).toMatchObject([{ key: 'ops', act: 'cancel', target: 'a' }])
  })
})
