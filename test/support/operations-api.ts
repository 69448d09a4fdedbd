import { expect } from 'vitest'
import type { OperationReply } from '../../src/http/v1/operations/schemas.ts'
import type { TestApp } from './app.ts'
import { messagesApi } from './messages-api.ts'
import { until } from './until.ts'

/** Asks the operations API of the app, past the network. */
export function operationsApi(world: () => TestApp) {
  const { send, post } = messagesApi(world)
  const find = async (id: string) =>
    (await send('GET', `/v1/operations/${id}`)).body as unknown as OperationReply
  const begin = async (body: object): Promise<OperationReply> => {
    const begun = await send('POST', '/v1/operations', body)
    expect(begun.status, JSON.stringify(begun.body)).toBe(202)
    return begun.body as unknown as OperationReply
  }
  const ended = async (id: string): Promise<OperationReply> => {
    let operation = await find(id)
    await until('the operation has ended', async () => {
      operation = await find(id)
      return operation.state !== 'running'
    })
    return operation
  }
  return {
    ...{ send, post, find, begin, ended },
    /** Begins one and waits for its end. */
    run: async (body: object) => ended((await begin(body)).id),
    /** @returns how many messages it would act on */
    dryRun: async (body: object): Promise<number> => {
      const { status, body: answer } = await send('POST', '/v1/operations', { ...body, dryRun: true })
      expect(status, JSON.stringify(answer)).toBe(200)
      return Number(answer.count)
    },
  }
}
