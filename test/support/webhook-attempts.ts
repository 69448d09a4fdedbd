import diagnostics from 'node:diagnostics_channel'
import net, { type AddressInfo } from 'node:net'
import { expect } from 'vitest'
import type { LookupAll } from '../../src/destinations/webhook/guarded-lookup.ts'

/** The report of an attempt, for tests that are not about it. */
export const attempt = { at: expect.any(Number), claim: 17, durationMs: expect.any(Number) }

/** @returns a port on which no process listens */
export async function closedPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export const answering =
  (...addresses: string[]): LookupAll =>
  (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: net.isIP(address) })),
    )

/** Resolves when the sender has read that part of a response, which a receiver cannot know. */
export const readBySender = (part: 'headers' | 'trailers') =>
  new Promise<void>((resolve) => {
    const channel = `undici:request:${part}`
    const onRead = () => {
      diagnostics.unsubscribe(channel, onRead)
      resolve()
    }
    diagnostics.subscribe(channel, onRead)
  })
